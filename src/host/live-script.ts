import {
  CLOCKS,
  FOLLOW_FORKS,
  LIVE_EVENTS,
  type Setting,
  settingsBefore,
  THREADS_FILE,
} from './trace-settings.ts';

export interface ScriptOptions {
  readonly tracefs: string;
  readonly pid: number | null;
  readonly bufferKib: number;
  readonly seconds: number | null;
  /** Null: standard output. */
  readonly record: string | null;
}

function quoted(word: string): string {
  return /^[\w./:=,+@%-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function setLine({ path, value, required }: Setting): string {
  return required ? `put ${path} ${quoted(value)}` : `may ${path} ${quoted(value)}`;
}

function threadLines(pid: number): readonly string[] {
  return [
    '',
    '# Only the threads of one VMM, and those that they make.',
    setLine(FOLLOW_FORKS),
    'before=',
    `threads=$(ls /proc/${pid}/task)`,
    'while [ "$threads" != "$before" ]; do',
    `  put ${THREADS_FILE} "$(echo $threads)"`,
    '  before=$threads',
    `  threads=$(ls /proc/${pid}/task)`,
    'done',
  ];
}

function waitLines({ pid, seconds }: ScriptOptions): readonly string[] {
  const tests = [
    'kill -0 "$reader" 2>/dev/null',
    ...(pid === null ? [] : [`[ -d /proc/${pid} ]`]),
    ...(seconds === null ? [] : [`[ $i -lt ${Math.max(1, Math.ceil(seconds))} ]`]),
  ];
  return ['i=0', `while ${tests.join(' && ')}; do`, '  sleep 1', '  i=$((i + 1))', 'done'];
}

/** What a live recording does, as a POSIX shell script: it prints the trace, and leaves nothing behind. */
export function liveScript(options: ScriptOptions): string {
  const { tracefs, pid, bufferKib, record } = options;
  return [
    '#!/bin/sh',
    '# The page-table events of KVM, in a trace instance of its own. Run it as root on',
    '# the host of the VMs; it ends by Ctrl-C. Then: memtype audit FILE',
    'set -eu',
    'LC_ALL=C',
    `tracefs=${quoted(tracefs)}`,
    'if [ ! -d "$tracefs/instances" ]; then',
    '  echo "no tracefs: mount -t tracefs tracefs $tracefs" >&2',
    '  exit 3',
    'fi',
    'instance=$tracefs/instances/memtype-$$',
    'put() { echo "$2" >"$instance/$1"; }',
    'may() { if [ -e "$instance/$1" ]; then put "$1" "$2" || :; fi; }',
    '',
    'reader=',
    'finish() {',
    '  trap : HUP INT QUIT TERM PIPE',
    '  trap - EXIT',
    '  set +e',
    '  for event in "$instance"/events/kvm*/*/enable; do',
    '    echo 0 >"$event"',
    '  done 2>/dev/null',
    '  put tracing_on 0 2>/dev/null',
    '  # The reader takes what is left.',
    '  [ -z "$reader" ] || { sleep 1; kill "$reader"; wait "$reader"; } 2>/dev/null',
    '  i=0',
    '  while [ -d "$instance" ] && ! rmdir "$instance" 2>/dev/null; do',
    '    i=$((i + 1))',
    '    if [ $i -ge 10 ]; then echo "in use: $instance" >&2; break; fi',
    '    sleep 1',
    '  done',
    '}',
    'trap finish EXIT',
    "trap 'exit 129' HUP",
    "trap 'exit 130' INT",
    "trap 'exit 131' QUIT",
    "trap 'exit 141' PIPE",
    "trap 'exit 143' TERM",
    'mkdir "$instance" || { trap - EXIT; exit 3; }',
    '',
    ...settingsBefore(bufferKib).map(setLine),
    `for clock in ${CLOCKS.join(' ')}; do`,
    '  case " $(tr -d "[]" <"$instance/trace_clock") " in',
    '  *" $clock "*) may trace_clock "$clock"; break ;;',
    '  esac',
    'done',
    ...(pid === null ? [] : threadLines(pid)),
    '',
    'for event in \\',
    ...LIVE_EVENTS.map((event, i) => `  ${event}${i === LIVE_EVENTS.length - 1 ? '' : ' \\'}`),
    'do',
    '  may "events/$event/enable" 1',
    'done',
    `cat "$instance/trace_pipe" ${record === null ? '' : `>${quoted(record)} `}&`,
    'reader=$!',
    'put tracing_on 1',
    ...waitLines(options),
    '',
  ].join('\n');
}
