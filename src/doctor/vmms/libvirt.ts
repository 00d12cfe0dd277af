import type { Parsed } from '../../base/diagnostic.ts';
import { InputError } from '../../base/diagnostic.ts';
import { at, parseXml, type XmlElement, xmlText } from './xml.ts';

/** Where libvirt keeps what runs: one file a domain, for root. */
export const LIBVIRT_STATUS = '/run/libvirt/qemu';

/** A domain of libvirt, as far as it bears on memory types. */
export interface LibvirtDomain {
  readonly name: string;
  /** Process that runs it; null in a configuration that is not running. */
  readonly pid: number | null;
  /** "kvm", "qemu" (TCG), ... */
  readonly type: string;
  /** Program that it starts, which may be a wrapper around QEMU. */
  readonly emulator: string | null;
  readonly memory: {
    /** "memfd", "file", "anonymous"; null: not said. */
    readonly source: string | null;
    readonly access: string | null;
    readonly hugepages: boolean;
  };
  /** Assigned devices: PCI addresses, or "mdev". */
  readonly hostdevs: readonly string[];
  readonly videos: readonly { readonly model: string; readonly blob: boolean }[];
  /** Arguments that the user handed through to QEMU. */
  readonly passed: readonly string[];
  /** "tdx", "sev", "sev-snp"; null: none. */
  readonly launchSecurity: string | null;
}

function attribute(elements: readonly XmlElement[], name: string): string | null {
  return elements[0]?.attributes.get(name) ?? null;
}

/** A number of libvirt's: "0x06", "12". */
function numberOf(text: string | undefined): number {
  return text !== undefined && /^(?:0x[0-9a-fA-F]{1,8}|\d{1,9})$/.test(text) ? Number(text) : 0;
}

function hostdevOf(hostdev: XmlElement): string {
  const type = hostdev.attributes.get('type') ?? '';
  const [address] = at(hostdev, 'source', 'address');
  if (type !== 'pci' || address === undefined) return type;
  const part = (name: string, digits: number): string =>
    numberOf(address.attributes.get(name)).toString(16).padStart(digits, '0');
  return `${part('domain', 4)}:${part('bus', 2)}:${part('slot', 2)}.${part('function', 1)}`;
}

/** Arguments that say something of memory types; the others are nobody's business. */
const PASSED =
  /^-{1,2}(?:accel|machine|M|object|m|enable-kvm)$|^(?:kvm|tcg)(?:,|$)|honor-guest-pat/;

/** Elements that are kept, with the attributes of each. */
const KEPT: Readonly<Record<string, readonly string[]>> = {
  domstatus: ['pid', 'state'],
  'domstatus/domain': ['type', 'id', 'xmlns:qemu'],
  'domstatus/domain/name': [],
  'domstatus/domain/memory': ['unit'],
  'domstatus/domain/memoryBacking': [],
  'domstatus/domain/memoryBacking/source': ['type'],
  'domstatus/domain/memoryBacking/access': ['mode'],
  'domstatus/domain/memoryBacking/hugepages': [],
  'domstatus/domain/devices': [],
  'domstatus/domain/devices/emulator': [],
  'domstatus/domain/devices/video': [],
  'domstatus/domain/devices/video/model': ['type', 'blob'],
  'domstatus/domain/devices/hostdev': ['mode', 'type', 'model'],
  'domstatus/domain/devices/hostdev/source': [],
  'domstatus/domain/devices/hostdev/source/address': ['domain', 'bus', 'slot', 'function'],
  'domstatus/domain/launchSecurity': ['type'],
  'domstatus/domain/qemu:commandline': [],
  'domstatus/domain/qemu:commandline/qemu:arg': ['value'],
};
const WITH_TEXT = new Set(['name', 'memory', 'emulator']);

function reduced(element: XmlElement, path: string): readonly XmlElement[] {
  const names = KEPT[path];
  if (names === undefined) return [];
  const attributes = new Map(
    names.flatMap((name): [string, string][] => {
      const value = element.attributes.get(name);
      return value === undefined ? [] : [[name, value]];
    }),
  );
  if (element.name === 'qemu:arg' && !PASSED.test(attributes.get('value') ?? '')) return [];
  const children = element.children.flatMap((c) => reduced(c, `${path}/${c.name}`));
  const text = WITH_TEXT.has(element.name) ? element.text : '';
  return [{ name: element.name, attributes, children, text }];
}

/**
 * A status file without all that does not bear on memory types: passwords, paths, MAC addresses. Of what
 * it returns it returns the same again. A text that is no XML becomes an empty one.
 */
export function reduceLibvirtXml(text: string): string {
  try {
    const root = parseXml(text, '');
    return reduced(root, root.name)
      .map((element) => xmlText(element))
      .join('');
  } catch (error) {
    if (error instanceof InputError) return '';
    throw error;
  }
}

function domainOf(root: XmlElement): LibvirtDomain | null {
  const [domain] = root.name === 'domain' ? [root] : at(root, 'domain');
  const name = domain === undefined ? '' : (at(domain, 'name')[0]?.text ?? '');
  if (domain === undefined || name === '') return null;
  const pid = numberOf(root.attributes.get('pid'));
  const backing = at(domain, 'memoryBacking');
  return {
    name,
    pid: pid > 0 ? pid : null,
    type: domain.attributes.get('type') ?? '',
    emulator: at(domain, 'devices', 'emulator')[0]?.text ?? null,
    memory: {
      source: attribute(
        backing.flatMap((b) => at(b, 'source')),
        'type',
      ),
      access: attribute(
        backing.flatMap((b) => at(b, 'access')),
        'mode',
      ),
      hugepages: backing.some((b) => at(b, 'hugepages').length > 0),
    },
    hostdevs: at(domain, 'devices', 'hostdev').map(hostdevOf),
    videos: at(domain, 'devices', 'video', 'model').map((model) => ({
      model: model.attributes.get('type') ?? '',
      blob: model.attributes.get('blob') === 'on',
    })),
    passed: at(domain, 'qemu:commandline', 'qemu:arg')
      .map((arg) => arg.attributes.get('value') ?? '')
      .filter((value) => PASSED.test(value)),
    launchSecurity: attribute(at(domain, 'launchSecurity'), 'type'),
  };
}

/**
 * A status file of libvirt (<domstatus>) or a configuration (<domain>). Element names: libvirt
 * docs/formatdomain.rst, docs/drvqemu.rst, tests/qemustatusxml2xmldata.
 */
export function parseLibvirtDomain(text: string, file: string): Parsed<LibvirtDomain | null> {
  try {
    const value = domainOf(parseXml(text, file));
    if (value !== null) return { value, problems: [] };
    const message = 'no <domain> with a <name> in it';
    const place = { file, line: 1, column: 1, length: 1 };
    const help = 'a file of /run/libvirt/qemu holds <domstatus ...><domain ...><name>';
    return { value: null, problems: [{ severity: 'error', message, place, help }] };
  } catch (error) {
    if (error instanceof InputError) return { value: null, problems: error.diagnostics };
    throw error;
  }
}
