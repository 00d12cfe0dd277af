/** Light and dark, on a screen and on paper; cells of types keep dark ink on their own colours. */
export const STYLE = `
:root { color-scheme: light dark; --ink: #1c1c1c; --paper: #ffffff; --soft: #5a5a5a; --line: #c8c8c8;
  --box: #f6f6f6; --worse: #a4001c; --better: #006b2d; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e4e4; --paper: #16181b; --soft: #a4a4a4; --line: #44484d; --box: #1f2226;
    --worse: #ff8f8f; --better: #7fd99a; }
}
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 62rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; margin: 0.5rem 0; }
h2 { font-size: 1.25rem; margin: 2rem 0 0.5rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 0 0 0.5rem; overflow-wrap: anywhere; }
section section, details > section { background: var(--box); border: 1px solid var(--line);
  border-radius: 6px; padding: 0.7rem 0.9rem; margin: 0.8rem 0; }
dl { display: grid; grid-template-columns: minmax(4.5rem, max-content) minmax(0, 1fr);
  gap: 0.25rem 1rem; margin: 0.4rem 0; }
dt { color: var(--soft); max-width: 12rem; overflow-wrap: anywhere; }
dd { margin: 0; overflow-wrap: anywhere; }
dd > p { margin: 0 0 0.2rem; }
ul { margin: 0; padding-left: 1.1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; overflow-wrap: normal; margin: 0.3rem 0; font-size: 0.92em; }
caption { text-align: left; color: var(--soft); padding: 0.2rem 0; }
th, td { border: 1px solid var(--line); padding: 0.2rem 0.5rem; text-align: left;
  vertical-align: top; }
th { font-weight: 600; }
.types td { text-align: center; }
.type, .chip { color: #1c1c1c; font-weight: 600; white-space: nowrap; }
.chip { border-radius: 3px; padding: 0 0.3rem; border: 1px solid #999999; }
.pair { white-space: nowrap; }
.same { color: var(--soft); }
.worse { color: var(--worse); }
.better { color: var(--better); }
.users ul { padding-left: 1rem; }
pre { background: var(--paper); border: 1px solid var(--line); border-radius: 4px; padding: 0.5rem;
  overflow-x: auto; font-size: 0.88em; }
summary { cursor: pointer; overflow-wrap: anywhere; }
article + article { border-top: 3px double var(--line); margin-top: 3rem; }
@media print {
  body { max-width: none; font-size: 10pt; padding: 0; }
  .type, .chip { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  section section, tr { break-inside: avoid; }
  pre { white-space: pre-wrap; }
}
`;
