// Fills the console blocks of the documents with what the program prints now. Needs a build in dist/. The
// tests compare; this writes, for whoever changed the output on purpose and has looked at it.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { ROOT } from './run.mjs';

const words = (command) =>
  [...command.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map((m) => m[1] ?? m[2] ?? m[3]);

let status = 0;

function outputOf(command) {
  if (/^echo \$(?:\?|\{PIPESTATUS\[0\]\})$/.test(command)) return `${status}\n`;
  const [, call, both, head] = /^(.*?)( 2>&1)?(?: \| head -(\d+))?$/.exec(command);
  const [, ...args] = words(call);
  const ran = spawnSync(process.execPath, [`${ROOT}dist/bin/main.js`, ...args], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  status = ran.status;
  const all = both === undefined ? ran.stdout : ran.stdout + ran.stderr;
  return head === undefined
    ? all
    : all
        .split('\n')
        .slice(0, Number(head))
        .map((l) => `${l}\n`)
        .join('');
}

function filled(text) {
  return text.replace(/```console\n([\s\S]*?)```/g, (_, block) => {
    const commands = [...block.matchAll(/^\$ (?:.*\\\n)*.*\n/gm)].map((m) => m[0]);
    const runs = commands.map((c) => {
      const joined = c
        .slice(2)
        .replace(/\\\n\s*/g, '')
        .trim();
      return c + outputOf(joined.replace(/\s+/g, ' '));
    });
    return `\`\`\`console\n${runs.join('')}\`\`\``;
  });
}

const files = [
  'README.md',
  ...readdirSync(`${ROOT}docs`)
    .filter((f) => f.endsWith('.md'))
    .map((f) => `docs/${f}`),
];
for (const file of files) {
  const text = readFileSync(ROOT + file, 'utf8');
  const made = filled(text);
  if (made !== text) writeFileSync(ROOT + file, made);
}
