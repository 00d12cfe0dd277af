import { parseAmount } from '../../facts/layout.ts';
import { keyValues } from '../vmms/options.ts';
import { type Options, OVMF, readOptions } from '../vmms/qemu.ts';
import { PCI_ADDRESS } from '../vms/vmm.ts';
import { MASK, type Masks } from './mask-words.ts';

/** What of a value is kept; null: nothing. */
export type Keep = (value: string, masks: Masks) => string | null;

const AMOUNT =
  /^(?:\d{1,18}(?:\.\d{1,9})?(?:[kKmMgGtTpPeE](?:i?[bB])?|[bB])?|0[xX][0-9a-fA-F]{1,16}[kKmMgGtT]?)$/;
const SWITCH = /^(?:on|off|auto|true|false|yes|no)$/;

export const amount: Keep = (value) =>
  AMOUNT.test(value) || (value.length <= 24 && parseAmount(value) !== null) ? value.trim() : null;
export const onOff: Keep = (value) => (SWITCH.test(value) ? value : null);
export const path: Keep = (value, masks) => masks.path(value);
export const id: Keep = (value, masks) => masks.id(value);
export const flag: Keep = () => MASK;
export const like =
  (form: RegExp): Keep =>
  (value) =>
    form.test(value) ? value : null;
/** What is not kept is there all the same. */
export const orMask =
  (rule: Keep): Keep =>
  (value, masks) =>
    rule(value, masks) ?? MASK;

/** A device as QEMU, crosvm and cloud-hypervisor name it: an address, or a path below /sys. */
export const device: Keep = (value, masks) => {
  const name =
    value
      .split('/')
      .filter((part) => part !== '')
      .at(-1) ?? '';
  if (PCI_ADDRESS.test(name) || /^[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/.test(name)) {
    return value === name ? name : `/sys/bus/pci/devices/${name}`;
  }
  if (!value.includes('/')) return null;
  const bus = value.includes('/platform/') ? 'platform' : 'mdev';
  return `/sys/bus/${bus}/devices/${masks.name(name)}`;
};

export const firmware: Keep = (value) => (OVMF.test(value) ? 'OVMF.fd' : MASK);

/** Keys of "a=b,c=d" with what is kept of each; the first bare word goes by ''. */
export type Keys = Readonly<Record<string, Keep>>;

export function keep(keys: Keys, key: string, value: string, masks: Masks): string | null {
  const rule = Object.hasOwn(keys, key) ? keys[key] : undefined;
  return rule?.(value, masks) ?? null;
}

/** "x=x" is an option that nobody reads: a bare "x" would be a value. */
const NOTHING_KEPT = `${MASK}=${MASK}`;

function printed(options: readonly (readonly [string, string])[], nothing: string): string {
  if (options.length === 0) return nothing;
  return options
    .map(([key, value]) => {
      const word = value.replaceAll(',', ',,');
      return key === '' ? word : `${key}=${word}`;
    })
    .join(',');
}

export function keptOf(options: Options, keys: Keys, masks: Masks, nothing = MASK): string {
  const kept = [...options].flatMap(([key, value]): (readonly [string, string])[] => {
    const made = keep(keys, key, value, masks);
    return made === null ? [] : [[key, made]];
  });
  const bare = kept.filter(([key]) => key === '');
  return printed([...bare, ...kept.filter(([key]) => key !== '')], nothing);
}

/** What is left of the value of an option. */
export type ReadWord = (word: string, masks: Masks) => string;

/** Options as QEMU writes them. */
export const options =
  (keys: Keys, typeKey = ''): ReadWord =>
  (word, masks) =>
    keptOf(readOptions(word, typeKey), keys, masks);

/** Objects that hold secrets have a type that is not kept, and then nothing of them is. */
export const typed =
  (keys: Keys, typeKey: string): ReadWord =>
  (word, masks) => {
    const all = readOptions(word, typeKey);
    const type = all.get('') ?? all.get(typeKey) ?? '';
    return keep(keys, '', type, masks) === null ? MASK : keptOf(all, keys, masks);
  };

/** Options as crosvm and cloud-hypervisor write them. */
export const pairs =
  (keys: Keys): ReadWord =>
  (word, masks) =>
    keptOf(keyValues(word), keys, masks, NOTHING_KEPT);

export const value =
  (rule: Keep): ReadWord =>
  (word, masks) =>
    rule(word, masks) ?? MASK;
