import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, View } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';

interface Axis { readonly title: string; readonly isLogarithmic: boolean }
export interface Point { readonly series: string; readonly x: number; readonly y: number }
/** Lines through points, one for each series. */
export interface Chart {
  readonly file: string; // without a folder
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly points: readonly Point[];
}

const axis = (field: 'x' | 'y', { title, isLogarithmic }: Axis): object => ({ field, type: 'quantitative', title, scale: isLogarithmic ? { type: 'log' } : { zero: true }, axis: { tickCount: 8 } });

/** Draws each chart into a file of the folder. */
export async function drawCharts(charts: readonly Chart[], folder: string): Promise<void> {
  for (const chart of charts) {
    const several = new Set(chart.points.map(({ series }) => series)).size > 1;
    const spec = {
      background: 'white', width: 480, height: 280, title: chart.title, data: { values: chart.points },
      mark: { type: 'line', point: true },
      encoding: { x: axis('x', chart.x), y: axis('y', chart.y), ...(several ? { color: { field: 'series', type: 'nominal', title: null, sort: null } } : {}) },
    } as TopLevelSpec;
    const view = new View(parse(compile(spec).spec), { renderer: 'none' });
    writeFileSync(join(folder, chart.file), `${await view.toSVG()}\n`);
    view.finalize();
  }
}
