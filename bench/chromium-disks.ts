import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { stripTypeScriptTypes } from 'node:module';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, normalize } from 'node:path';
import { findOracle } from '@vm/testkit/oracle';
import { measureDisks, type PageFigure, type PageOptions } from './disk-page.ts';
import { median, type Row, row } from './registry.ts';

const NAMES = ['chromium', 'chromium-browser', 'chromium-headless-shell', 'google-chrome'];
const ROOT = new URL('..', import.meta.url).pathname;
/** What a page may fetch, and from where it takes the packages that it names. */
const SERVED = /^\/(bench\/disk-page\.ts|packages\/vhd-crypt\/(src|node_modules\/@noble)\/[\w./-]+\.(ts|js))$/;
const IMPORTS = { '@vm/vhd-crypt': '/packages/vhd-crypt/src/index.ts', '@noble/': '/packages/vhd-crypt/node_modules/@noble/' };
const XTS = 'aes-xts-plain64';
const MIB = 2 ** 20;

/** The ciphers in Chromium, over disks in memory: AES-XTS against the same code in Node, the others against AES-XTS in the same page. */
export async function chromiumRows(others: readonly string[], quick: boolean): Promise<Row[]> {
  const program = NAMES.map((name) => findOracle(name)).find((path) => path !== null) ?? null;
  if (program === null) {
    console.error(`no rows in Chromium: this host has none of ${NAMES.join(', ')}`);
    return [];
  }
  const options: PageOptions = { ciphers: [XTS, ...others], diskBytes: 8 * MIB, runs: quick ? 3 : 7, milliseconds: quick ? 100 : 1000 };
  const [there, here] = [await inPage(program, options), await measureDisks(options)];
  const of = (figures: readonly PageFigure[], cipher: string, load: string): number => median(figures.find((one) => one.cipher === cipher && one.load === load)!.runs);
  return there.map(({ cipher, load, runs }) => row(`in Chromium, ${cipher} in JavaScript: ${load}`, 'MiB/s', options.runs, median(runs), cipher === XTS ? { name: 'Node', value: of(here, XTS, load) } : { name: 'AES-XTS', value: of(there, XTS, load) }));
}

/** Chromium opens a page that measures and tells this process what it found. */
async function inPage(program: string, options: PageOptions): Promise<readonly PageFigure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'vm-bench-chromium-'));
  let tell: (told: string) => void = () => undefined;
  let fail: (error: Error) => void = () => undefined;
  const told = new Promise<string>((resolve, reject) => [tell, fail] = [resolve, reject]);
  const server = serve(options, (text) => tell(text));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  // It has no sandbox for root.
  const browser = spawn(program, ['--headless', '--disable-gpu', ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []), `--user-data-dir=${folder}`, '--remote-debugging-port=0', url], { stdio: 'ignore' });
  browser.once('error', (error) => fail(error));
  const ended = new Promise<void>((resolve) => browser.once('exit', (code) => {
    fail(new Error(`${program} has ended with ${code}`));
    resolve();
  }));
  try {
    const answer = JSON.parse(await told) as { readonly figures?: readonly PageFigure[]; readonly error?: string };
    if (answer.figures === undefined) throw new Error(`the page in ${program}: ${answer.error}`);
    return answer.figures;
  } finally {
    browser.kill();
    await ended;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

function serve(options: PageOptions, tell: (text: string) => void): Server {
  return createServer((request, response) => {
    const path = normalize(new URL(request.url ?? '/', 'http://here').pathname);
    if (request.method === 'POST') {
      let body = '';
      request.setEncoding('utf8').on('data', (more: string) => (body += more)).on('end', () => {
        response.end();
        tell(body);
      });
    } else if (path === '/') response.setHeader('content-type', 'text/html').end(pageOf(options));
    else if (SERVED.test(path)) {
      const source = readFileSync(join(ROOT, path), 'utf8');
      response.setHeader('content-type', 'text/javascript').end(path.endsWith('.ts') ? stripTypeScriptTypes(source) : source);
    } else response.writeHead(404).end();
  });
}

function pageOf(options: PageOptions): string {
  return `<!doctype html><title>disks</title><script type="importmap">${JSON.stringify({ imports: IMPORTS })}</script><script type="module">
const tell = (answer) => fetch('/', { method: 'POST', body: JSON.stringify(answer) });
import('/bench/disk-page.ts').then(({ measureDisks }) => measureDisks(${JSON.stringify(options)})).then((figures) => tell({ figures }), (error) => tell({ error: String(error.stack ?? error) }));
</script>`;
}
