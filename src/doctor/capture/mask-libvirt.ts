import { LIBVIRT_STATUS, reduceLibvirtXml } from '../vmms/libvirt.ts';
import { parseXml, type XmlElement, xmlText } from '../vmms/xml.ts';
import { baseName, vmmOf } from '../vms/vmm.ts';
import { passedArgument } from './mask-qemu.ts';
import { MASK, type Masks } from './mask-words.ts';

/**
 * What becomes of the name of a domain and of the program that it starts. On the machine itself they are
 * kept: the fix is a command that names them. In a file they are masked.
 */
export type DomainNames = 'kept' | 'masked';

/** Values that attributes have in libvirt's schema, by name; others are masked. */
const VALUES: Readonly<Record<string, RegExp>> = {
  pid: /^\d{1,10}$/,
  id: /^\d{1,10}$/,
  state: /^(?:running|paused|shutdown|shutoff|crashed|pmsuspended|blocked|nostate)$/,
  type: /^(?:kvm|qemu|hvf|xen|memfd|file|anonymous|virtio|qxl|vga|cirrus|bochs|ramfb|none|pci|usb|mdev|scsi|scsi_host|sev|sev-snp|tdx)$/,
  'xmlns:qemu': /^http:\/\/libvirt\.org\/schemas\/domain\/qemu\/1\.0$/,
  unit: /^(?:b|bytes|[KMGT](?:i?B)?|[kmgt])$/,
  mode: /^(?:shared|private|subsystem|capabilities)$/,
  blob: /^(?:on|off|yes|no)$/,
  model: /^vfio-(?:pci|ap|ccw)$/,
  domain: /^0x[0-9a-fA-F]{1,8}$/,
  bus: /^0x[0-9a-fA-F]{1,2}$/,
  slot: /^0x[0-9a-fA-F]{1,2}$/,
  function: /^0x[0-7]$/,
};

/** A program keeps its name when it is a VMM that is known, as anywhere else. */
function program(path: string, masks: Masks): string {
  const name = baseName(path);
  const isKnown = /^[\w.+-]{1,64}$/.test(name) && vmmOf(name) !== 'other' && path.endsWith(name);
  return isKnown ? masks.path(path.slice(0, -name.length)) + name : masks.path(path);
}

function masked(element: XmlElement, masks: Masks, names: DomainNames): readonly XmlElement[] {
  const { name } = element;
  const attributes = new Map<string, string>();
  for (const [key, value] of element.attributes) {
    if (name === 'qemu:arg') attributes.set(key, passedArgument(value, masks));
    else attributes.set(key, VALUES[key]?.test(value) === true ? value : MASK);
  }
  if (attributes.get('value') === MASK) return [];
  const text = (): string => {
    if (name === 'memory') return /^\d{1,18}$/.test(element.text) ? element.text : MASK;
    if (names === 'kept' || element.text === '') return element.text;
    return name === 'name' ? masks.name(element.text) : program(element.text, masks);
  };
  const made = element.text === '' ? '' : text();
  const children = element.children.flatMap((child) => masked(child, masks, names));
  return [{ name, attributes, children, text: made }];
}

const KNOWN_WORDS: ReadonlySet<string> = new Set(
  'domstatus domain name memory unit memoryBacking devices emulator x'.split(' '),
);

/** Of what is no XML, or has no domain, the marks: its readers say where it is damaged. */
function marks(text: string): string {
  return text.replace(/[^\s<>/="'&;![\]?-]+/g, (word) => (KNOWN_WORDS.has(word) ? word : MASK));
}

/** The status file of a domain, see `reduceLibvirtXml`. Reducing twice changes nothing more. */
export function reduceDomain(text: string, masks: Masks, names: DomainNames): string {
  const reduced = reduceLibvirtXml(text);
  if (reduced !== '') {
    const [root] = masked(parseXml(reduced, ''), masks, names);
    return root === undefined ? '' : xmlText(root);
  }
  const left = marks(text);
  return reduceLibvirtXml(left) === '' ? left : '';
}

// ---- the files --------------------------------------------------------------------------------

const SUFFIX = '.xml';

/** The domains that files are of, in the order in which they are numbered. */
function domainsOf(files: readonly string[], masks: Masks): readonly string[] {
  const named = files.flatMap((f) => (f.endsWith(SUFFIX) ? [f.slice(0, -SUFFIX.length)] : []));
  return masks.inOrder(named);
}

/** Names in /run/libvirt/qemu; what is no status file is left out. */
export function domainFiles(
  files: readonly string[],
  masks: Masks,
  names: DomainNames,
): readonly string[] {
  return domainsOf(files, masks).map((domain) => domainFile(domain, masks, names));
}

function domainFile(domain: string, masks: Masks, names: DomainNames): string {
  return (names === 'kept' ? domain : masks.name(domain)) + SUFFIX;
}

/** Paths of status files, with what each becomes. */
export function domainPaths(
  paths: readonly string[],
  masks: Masks,
  names: DomainNames,
): readonly (readonly [path: string, masked: string])[] {
  const files = paths.map((path) => path.slice(LIBVIRT_STATUS.length + 1));
  return domainsOf(files, masks).map((domain) => [
    `${LIBVIRT_STATUS}/${domain}${SUFFIX}`,
    `${LIBVIRT_STATUS}/${domainFile(domain, masks, names)}`,
  ]);
}
