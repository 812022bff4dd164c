import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, View } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';

interface Axis { readonly title: string; readonly isLogarithmic: boolean }
export interface Point { readonly series: string; readonly x: number; readonly y: number }
/** A value with the ends of its interval. */
export interface Range { readonly series: string; readonly label: string; readonly low: number; readonly value: number; readonly high: number }
interface Picture { readonly file: string /* without a folder */; readonly title: string; readonly x: Axis }
/** Lines through points, one for each series. */
interface LineChart extends Picture { readonly kind?: 'lines'; readonly y: Axis; readonly points: readonly Point[] }
/** For each label a row, with a value of each series. */
interface RangeChart extends Picture { readonly kind: 'ranges'; readonly ranges: readonly Range[] }
export type Chart = LineChart | RangeChart;

const axis = (field: string, { title, isLogarithmic }: Axis): object => ({ field, type: 'quantitative', title, scale: isLogarithmic ? { type: 'log' } : { zero: true }, axis: { tickCount: 8 } });
const COLOUR = { field: 'series', type: 'nominal', title: null, sort: null, legend: { labelLimit: 300 } };

function lineSpec({ x, y, points }: LineChart): object {
  const several = new Set(points.map(({ series }) => series)).size > 1;
  return {
    width: 480, height: 280, data: { values: points }, mark: { type: 'line', point: true },
    encoding: { x: axis('x', x), y: axis('y', y), ...(several ? { color: COLOUR } : {}) },
  };
}
function rangeSpec({ x, ranges }: RangeChart): object {
  const row = { field: 'label', type: 'nominal', title: null, sort: null, axis: { grid: true } };
  const beside = { yOffset: { field: 'series', sort: null }, color: COLOUR };
  return {
    width: 480, height: { step: 8 }, data: { values: ranges },
    layer: [
      { mark: { type: 'rule', strokeDash: [4, 4], color: 'gray' }, encoding: { x: { datum: 1 } } },
      { mark: { type: 'rule', strokeWidth: 2 }, encoding: { y: row, ...beside, x: axis('low', x), x2: { field: 'high' } } },
      { mark: { type: 'point', filled: true }, encoding: { y: row, ...beside, x: axis('value', x) } },
    ],
  };
}

/** Draws each chart into a file of the folder. */
export async function drawCharts(charts: readonly Chart[], folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  for (const chart of charts) {
    const spec = { background: 'white', title: chart.title, ...(chart.kind === 'ranges' ? rangeSpec(chart) : lineSpec(chart)) } as TopLevelSpec;
    const view = new View(parse(compile(spec).spec), { renderer: 'none' });
    writeFileSync(join(folder, chart.file), `${await view.toSVG()}\n`);
    view.finalize();
  }
}
