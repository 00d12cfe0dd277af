import type { Severity, VerdictKind } from '../resolve/verdict.ts';

/** OASIS, Static Analysis Results Interchange Format 2.1.0. */
const VERSION = '2.1.0';
const SCHEMA =
  'https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json';

export const LEVEL: Readonly<Record<Severity, string>> = {
  error: 'error',
  warning: 'warning',
  info: 'note',
};

export function ruleOf(kind: VerdictKind): object {
  return {
    id: kind.code,
    shortDescription: { text: kind.title },
    fullDescription: { text: `${kind.cause} ${kind.consequence}` },
    help: { text: `${kind.fix} See: memtype rule ${kind.code}` },
    defaultConfiguration: { level: LEVEL[kind.severity] },
    properties: { room: kind.room },
  };
}

/** A URI reference of a path: what RFC 3986 does not allow in a path is escaped. */
export function uriOf(path: string): string {
  const escaped = path.split('/').map((part) => encodeURIComponent(part));
  return (path.startsWith('/') ? 'file://' : '') + escaped.join('/');
}

/** The begin of a log: results follow, and `sarifTail`. @param version of memtype */
export function sarifHead(version: string, rules: readonly object[]): string {
  const driver = { name: 'memtype', semanticVersion: version, rules };
  const tool = JSON.stringify({ driver });
  return `{"$schema":"${SCHEMA}","version":"${VERSION}","runs":[{"tool":${tool},\n"results":[`;
}

export function sarifTail(): string {
  return '\n]}]}\n';
}
