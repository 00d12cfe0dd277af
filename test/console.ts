import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));
const MAIN = `${ROOT}dist/bin/main.js`;

export interface Ran {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number | null;
}

/** Runs the built command line, as a user would, with the root of the project as working directory. */
export function memtype(args: readonly string[], input?: string): Ran {
  const ran = spawnSync(process.execPath, [MAIN, ...args], {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    ...(input === undefined ? {} : { input }),
  });
  return { stdout: ran.stdout, stderr: ran.stderr, status: ran.status };
}

export interface ConsoleCommand {
  readonly file: string;
  /** Line of the `$`. */
  readonly line: number;
  readonly command: string;
  readonly expected: string;
}

/** The commands of the ```console blocks of a document, each with the output shown below it. */
export function consoleCommands(file: string): readonly ConsoleCommand[] {
  const lines = readFileSync(ROOT + file, 'utf8').split('\n');
  const commands: { file: string; line: number; command: string; output: string[] }[] = [];
  let inside = false;
  let continued = false;
  lines.forEach((text, i) => {
    const last = commands.at(-1);
    // A line of output may end with a backslash, too: it is part of a command only below one.
    const isCommand = continued || text.startsWith('$ ');
    if (text === '```console') inside = true;
    else if (text === '```') inside = false;
    else if (inside && continued && last !== undefined)
      last.command += ` ${text.replace(/\\$/, '').trim()}`;
    else if (inside && text.startsWith('$ ')) {
      commands.push({
        file,
        line: i + 1,
        command: text.slice(2).replace(/\\$/, '').trim(),
        output: [],
      });
    } else if (inside) last?.output.push(text);
    continued = inside && isCommand && text.endsWith('\\');
  });
  return commands.map(({ output, ...c }) => ({
    ...c,
    expected: output.map((o) => `${o}\n`).join(''),
  }));
}

function words(command: string): readonly string[] {
  return [...command.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map((m) => m[1] ?? m[2] ?? m[3] ?? '');
}

/** Runs commands in their order: `memtype ...`, with `| head -N` or `2>&1` behind it, and `echo $?` or
 * `echo ${PIPESTATUS[0]}`. */
export function runConsole(
  commands: readonly ConsoleCommand[],
): readonly { command: ConsoleCommand; got: string }[] {
  let status: number | null = 0;
  return commands.map((command) => {
    if (/^echo \$(?:\?|\{PIPESTATUS\[0\]\})$/.test(command.command))
      return { command, got: `${status}\n` };
    const [, call = '', both, head] =
      /^(.*?)( 2>&1)?(?: \| head -(\d+))?$/.exec(command.command) ?? [];
    const [program, ...args] = words(call);
    if (program !== 'memtype')
      throw new Error(`${command.file}:${command.line}: not a memtype command`);
    const ran = memtype(args);
    status = ran.status;
    const all = both === undefined ? ran.stdout : ran.stdout + ran.stderr;
    const got =
      head === undefined
        ? all
        : all
            .split('\n')
            .slice(0, Number(head))
            .map((l) => `${l}\n`)
            .join('');
    return { command, got };
  });
}
