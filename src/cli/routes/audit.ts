import { buildCommand } from '@stricli/core';
import { FAIL_ON, FAIL_ON_DEFAULT } from '../../doctor/diagnosis/exit-code.ts';
import type { AuditFlags } from '../commands/audit.ts';
import type { LiveFlags } from '../commands/audit-live.ts';
import { AUDIT_FORMATS } from '../formats.ts';
import { act, type Context, optionalWord, word } from '../route.ts';
import { isLive, LIVE_FLAGS } from './audit-live.ts';

/** Of the room audit; named here so that --help does not load it. */
const PAGING = ['ept', 'npt', 'shadow'] as const;

export const audit = buildCommand<AuditFlags & LiveFlags, string[], Context>({
  docs: {
    brief: 'which types KVM really installed, by a trace of kvmmmu events, and what is wrong',
    fullDescription:
      'Of traces: the text of ftrace, trace-cmd report or perf script, or the files trace.dat and perf.data. ' +
      'No file, or -, is standard input. --live records on this machine.',
  },
  parameters: {
    flags: {
      format: { kind: 'enum', values: AUDIT_FORMATS, default: 'text', brief: 'output format' },
      kernel: optionalWord('the kernel that was traced, as uname -r prints it', 'version'),
      paging: {
        kind: 'enum',
        values: PAGING,
        optional: true,
        brief: 'the paging mode of KVM; without it, inferred from the entries',
      },
      host: optionalWord('a capture of the traced host: its pages, its VMs', 'capture'),
      predict: {
        kind: 'parsed',
        parse: word,
        optional: true,
        variadic: true,
        placeholder: 'facts',
        brief: 'predict every entry from this file of facts; see docs/audit.md',
      },
      formats: optionalWord(
        'the files are pages of trace_pipe_raw; events are described in this copy of tracefs',
        'dir',
      ),
      'fail-on': {
        kind: 'enum',
        values: FAIL_ON,
        default: FAIL_ON_DEFAULT,
        brief: 'the least that gives exit code 1; undetermined: as warning, and 3 for what is open',
      },
      ...LIVE_FLAGS,
    },
    positional: {
      kind: 'array',
      parameter: {
        brief: 'traces, - for standard input',
        parse: word,
        placeholder: 'file',
      },
    },
  },
  async func(flags, ...files) {
    if (isLive(flags)) {
      const { runAuditLive } = await import('../commands/audit-live.ts');
      await act(this, () => runAuditLive(files, flags, this.io));
      return;
    }
    const { runAudit } = await import('../commands/audit.ts');
    await act(this, () => runAudit(files, flags, this.io));
  },
});
