// docs/rules/: one page per verdict code, and the list of all rules, from the tables of the program; and
// docs/cases.md: the public reports with their answers.
// Needs a build in dist/. `--check` compares instead of writing.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { parse } from 'yaml';
import { ROOT } from './run.mjs';

await import(`${ROOT}dist/rules.js`);
const { exampleCommand, pageCitations, rulePages } = await import(
  `${ROOT}dist/report/rule-page.js`
);
const { VERDICTS } = await import(`${ROOT}dist/resolve/verdicts/index.js`);
const { DOCTOR_FINDINGS } = await import(`${ROOT}dist/doctor/findings.js`);
const FINDINGS = Object.values(DOCTOR_FINDINGS);
const { SWITCHES, defaultText } = await import(`${ROOT}dist/machine/switches.js`);
const { AUDIT_FINDINGS, hasExampleFacts } = await import(`${ROOT}dist/audit/kinds.js`);
const OF_TRACES = Object.values(AUDIT_FINDINGS);

const EXAMPLE_LINES = 10;
/** As far as the verdict goes, and what stands in front of it. */
function linesWith(code, lines) {
  const first = lines.findIndex((line) => line.includes(` ${code}: `));
  const rest = lines.slice(first + 1).findIndex((line) => !line.startsWith('  '));
  if (first < 0 || rest < 0) throw new Error(`${code}: its example does not show it`);
  return first + 1 + rest;
}

/** The trace of an example, and the facts beside it. */
function traceBlocks(v) {
  const block = (name, language) => {
    const text = readFileSync(`${ROOT}docs/examples/${name}`, 'utf8').trimEnd();
    return [`[docs/examples/${name}](../examples/${name}):`, '', `\`\`\`${language}`, text, '```'];
  };
  const facts = hasExampleFacts(v.code) ? ['', ...block(`${v.code}.facts.yaml`, 'yaml')] : [];
  return [v.example, '', ...block(`${v.code}.txt`, 'text'), ...facts];
}

function exampleBlock(v) {
  if (OF_TRACES.includes(v)) return traceBlocks(v);
  const command = exampleCommand(v);
  const args = [...command.matchAll(/"([^"]*)"|(\S+)/g)].map((m) => m[1] ?? m[2]).slice(1);
  const ran = spawnSync(process.execPath, [`${ROOT}dist/bin/main.js`, ...args], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  const all = ran.stdout.split('\n');
  const count = FINDINGS.includes(v) ? linesWith(v.code, all) : EXAMPLE_LINES;
  return ['```console', `$ ${command} | head -${count}`, ...all.slice(0, count), '```'];
}

/** The host of an example, and where it is from: the file says it. */
function hostWords(v) {
  const file = `examples/${v.code}.yaml`;
  const { about } = parse(readFileSync(`${ROOT}docs/${file}`, 'utf8'));
  return `${v.example}\n\n[docs/${file}](../${file}): ${about.trim()}`;
}

function verdictPage(v) {
  const page = rulePages().find((p) => p.id === v.code);
  return [
    `# ${v.code}: ${v.title}`,
    '',
    `Severity: ${v.severity}. Decided by: ${v.room}.`,
    '',
    `**Cause.** ${v.cause}`,
    '',
    `**Consequence.** ${v.consequence}`,
    '',
    `**Fix.** ${v.fix}`,
    '',
    '**Sources.**',
    '',
    ...pageCitations(page).map((c) => `- ${c.replace(/[<>]/g, (m) => `\\${m}`)}`),
    '',
    '**Example.**',
    '',
    ...(FINDINGS.includes(v) ? [hostWords(v), ''] : []),
    ...exampleBlock(v),
    '',
  ].join('\n');
}

function index() {
  const row = (p) => `| \`${p.id}\` | ${p.title.replace(/\|/g, '\\|')} |`;
  const of = (kind) => rulePages().filter((p) => p.kind === kind);
  return [
    '# Rules and verdicts',
    '',
    'Made from the tables of the program by `node tools/docs.mjs`. `memtype rule ID` prints any of them in',
    'full, with its sources; `memtype rule E8` shows an era laid out like the C function.',
    '',
    '## Verdicts',
    '',
    '| code | title |',
    '|---|---|',
    ...[...VERDICTS, ...FINDINGS, ...OF_TRACES].map(
      (v) => `| [${v.code}](${v.code}.md) | ${v.title} (${v.severity}) |`,
    ),
    '',
    '## Decision lists of KVM',
    '',
    '| id | title |',
    '|---|---|',
    ...of('decision list').map(row),
    '',
    '## What backs guest memory',
    '',
    '| id | title |',
    '|---|---|',
    ...of('backing').map(row),
    '',
    '## Rules',
    '',
    '| id | title |',
    '|---|---|',
    ...of('rule').map(row),
    '',
  ].join('\n');
}

const CAUSES = {
  established: '',
  suspected: ' Cause only suspected in public.',
  refuted: ' The cause named in public does not hold.',
};

function answerOf(name, { command }) {
  const ran = spawnSync(process.execPath, [`${ROOT}dist/bin/main.js`, command, `cases/${name}`], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  const lines = `${ran.stdout}${ran.stderr}`.split('\n');
  const first = lines.findIndex((line) => /^(?:possible )?(?:error|warning|info)\b/.test(line));
  const start = Math.max(0, first);
  const rest = lines.slice(start + 1).findIndex((line) => !/^ {2}(?:fix| )/.test(line));
  return lines.slice(start, rest < 0 ? start + 4 : start + 1 + rest);
}

function caseSection(name) {
  const c = parse(readFileSync(`${ROOT}cases/${name}`, 'utf8'));
  const { report, cause, command } = c.expect;
  return [
    `## ${report}. ${c.title}`,
    '',
    `${c.about.trim().replace(/\s+/g, ' ')}${CAUSES[cause]}`,
    '',
    `Reported: <${c.url}>, ${String(c.date).slice(0, 10)}.`,
    '',
    '```text',
    `$ memtype ${command} cases/${name}`,
    ...answerOf(name, c.expect),
    '```',
    '',
  ];
}

function casesPage() {
  const names = readdirSync(`${ROOT}cases`).filter((name) => /^\d\d-.*\.yaml$/.test(name));
  return [
    '# Public reports, and what memtype answers',
    '',
    'Reports of wrong or slow memory types in guests that were made in public. Each is a file in `cases/` with',
    'the facts of the report (synthetic where it is silent), and a test holds the answer. Shown is the verdict',
    'that comes first, and its fix. Made by `node tools/docs.mjs`.',
    '',
    ...names.sort().flatMap(caseSection),
  ].join('\n');
}

/** A document with new lines between its two comments. */
function withBlock(file, lines) {
  const text = readFileSync(file, 'utf8');
  const [from, to] = ['<!-- made -->\n', '<!-- end -->'].map((mark) => text.indexOf(mark));
  if (from < 0 || to < from) throw new Error(`${file}: no block to fill`);
  const block = lines.map((l) => `${l}\n`).join('');
  return `${text.slice(0, from)}<!-- made -->\n${block}${text.slice(to)}`;
}

function machinePage() {
  const cell = (text) => text.replace(/\|/g, '\\|');
  const rows = Object.entries(SWITCHES).map(([name, s]) =>
    [`\`${name}\``, s.kind, cell(s.on), defaultText(s), cell(s.evidence), cell(s.separatedBy)].join(
      ' | ',
    ),
  );
  return withBlock(`${ROOT}docs/machine.md`, [
    '| switch | kind | when it is on | default | evidence | separated by |',
    '|---|---|---|---|---|---|',
    ...rows.map((row) => `| ${row} |`),
  ]);
}

const check = process.argv.includes('--check');
const pages = [
  ['../machine.md', machinePage()],
  ['../cases.md', casesPage()],
  ['README.md', index()],
  ...[...VERDICTS, ...FINDINGS, ...OF_TRACES].map((v) => [`${v.code}.md`, verdictPage(v)]),
];
mkdirSync(`${ROOT}docs/rules`, { recursive: true });
let stale = 0;
for (const [name, text] of pages) {
  const path = `${ROOT}docs/rules/${name}`;
  if (!check) {
    writeFileSync(path, text);
    continue;
  }
  let there = '';
  try {
    there = readFileSync(path, 'utf8');
  } catch {}
  if (there !== text) {
    process.stdout.write(`docs/rules/${name} is stale: run node tools/docs.mjs\n`);
    stale = 1;
  }
}
process.exit(stale);
