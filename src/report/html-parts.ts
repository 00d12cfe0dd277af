import { escaped } from './svg-parts.ts';

const STYLE = `
:root{color-scheme:light dark;--ink:#1c1c1c;--paper:#fafafa;--soft:#555555;--line:#c8c8c8;--head:#ececec}
@media (prefers-color-scheme:dark){:root{--ink:#e8e8e8;--paper:#1b1b1d;--soft:#b4b4b4;--line:#4a4a4e;--head:#2a2a2e}}
body{margin:0 auto;padding:1.5rem;max-width:80rem;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
h1{font-size:1.35rem;line-height:1.3}h2{font-size:1.1rem;margin-top:2rem}
a{color:inherit}code,td.mono{font-family:ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.9em}
.soft{color:var(--soft)}.wide{overflow-x:auto}svg{max-width:100%;height:auto}
table{border-collapse:collapse;font-size:.9rem}caption{text-align:left;padding:.3rem 0;color:var(--soft)}
th,td{border:1px solid var(--line);padding:.3rem .5rem;text-align:left;vertical-align:top}
thead th{background:var(--head)}
td.fill{color:#1c1c1c;font-weight:bold}
`;

/** A page that needs nothing beside itself. @param body HTML */
export function htmlPage(title: string, body: readonly string[], style = ''): string {
  return [
    '<!DOCTYPE html>',
    '<html lang="en">',
    '<head>',
    '<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    `<title>${escaped(title)}</title>`,
    `<style>${STYLE}${style}</style>`,
    '</head>',
    '<body>',
    ...body,
    '</body>',
    '</html>\n',
  ].join('\n');
}

/** A list; nothing when there is nothing in it. @param items HTML */
export function htmlList(title: string, items: readonly string[]): readonly string[] {
  if (items.length === 0) return [];
  return [
    `<h2>${escaped(title)}</h2>`,
    '<ul>',
    ...items.map((item) => `<li>${item}</li>`),
    '</ul>',
  ];
}
