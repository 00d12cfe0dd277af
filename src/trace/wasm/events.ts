import { KIND } from '../batch.ts';
import { COUNTED, NAME_ACTION, NAME_INDEX, NAME_SEEN, SEEN, SKIPPED } from './layout.ts';
import { all, all16, chars, get, is, must, plus, unless, when } from './words.ts';

// The events that the fast reader knows: from the name at $q on. Each ends with a branch: to $row with its fields in
// the locals, to $next when it is counted only, to $unknown.

/**
 * Reads a hexadecimal number from an address into `read`; its end into a local, which must not be where it began.
 * Of more than 16 digits the first 16.
 */
function hex(from: string, offset: number, end: string): string {
  return `
    ${digits(from, offset)}
    (br_if $unknown (i32.eqz ${get('n')}))
    (local.set $${end} (i32.add (i32.add ${get(from)} (i32.const ${offset})) ${get('n')}))`;
}

/** As `hex`; how many digits there are into `n`. */
function digits(from: string, offset: number): string {
  return `
    (local.set $digit (v128.load offset=${offset} ${get(from)}))
    (local.set $letter (i8x16.sub (v128.or ${get('digit')} ${all(32)}) ${all('a')}))
    (local.set $digit (i8x16.sub ${get('digit')} ${all('0')}))
    (local.set $isDigit (i8x16.le_u ${get('digit')} ${all(9)}))
    (local.set $n (i32.ctz (i32.xor (i32.const -1) (i8x16.bitmask
      (v128.or ${get('isDigit')} (i8x16.le_u ${get('letter')} ${all(5)}))))))
    ;; The last digit first, zeros behind the first.
    (local.set $digit (i8x16.swizzle
      (v128.bitselect ${get('digit')} (i8x16.add ${get('letter')} ${all(10)}) ${get('isDigit')})
      (i8x16.sub (i8x16.splat (i32.sub ${get('n')} (i32.const 1)))
        (v128.const 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15))))
    (local.set $digit (v128.or
      (v128.and ${get('digit')} ${all16(0xff)})
      (i16x8.shl (i16x8.shr_u ${get('digit')} (i32.const 8)) (i32.const 4))))
    (local.set $read (i64x2.extract_lane 0
      (i8x16.narrow_i16x8_u ${get('digit')} ${get('digit')})))`;
}

const VALUE = get('read');

/** A frame or an address of a guest as the key: below 2^52. */
const SET_KEY = `
    (local.set $key ${VALUE})
    ${unless(`(i64.eqz (i64.shr_u ${get('key')} (i64.const 52)))`)}`;

/** "level 1" at an address. */
function level(from: string, offset: number): string {
  return `
    ${must(plus(from, offset), 'level ')}
    (local.set $level (i32.sub (i32.load8_u ${plus(from, offset + 6)}) (i32.const 48)))
    ${unless(`(i32.lt_u (i32.sub ${get('level')} (i32.const 1)) (i32.const 5))`)}`;
}

/** After the name and ": ", past the blanks that trace-cmd puts there. */
function payload(length: number): string {
  return `(local.set $f (call $afterBlanks ${plus('q', length + 2)}))`;
}

/** The end of the line, which is somewhere behind an address. */
function lineEnd(from: string): string {
  return `(local.set $eol (call $lineEnd ${get(from)}))`;
}

function skipKind(kind: number): string {
  return when(
    `(i32.load8_u (i32.const ${SKIPPED + kind}))`,
    lineEnd('q'),
    seen(kind),
    '(br $next)',
  );
}

function seen(kind: number): string {
  const at = `(i32.const ${SEEN + 4 * kind})`;
  return `(i32.store ${at} (i32.add (i32.load ${at}) (i32.const 1)))`;
}

/** The line must end here. */
function ends(at: string): string {
  return `
    (local.set $eol ${get(at)})
    ${when(`(i32.ne (i32.load8_u ${get('eol')}) (i32.const 10))`, must(get('eol'), '\r\n'), `(local.set $eol ${plus('eol', 1)})`)}`;
}

/** The line ends here, or after what follows, which begins with a blank; then its end is in the same local. */
function endsOrGoesOn(at: string, ...rest: readonly string[]): string {
  return when(is(get(at), ' '), ...rest) + ends(at);
}

/** The end of an event of a kind whose fields are in the locals. */
function row(kind: number): string {
  return `
    ${seen(kind)}
    (local.set $kind (i32.const ${kind}))
    (br $row)`;
}

export const SET = `
  ${skipKind(KIND.set)}
  ${payload(16)}
  ${must(get('f'), 'gfn ')}
  ${hex('f', 4, 'e')}
  ${SET_KEY}
  ${must(get('e'), ' spte ')}
  ${hex('e', 6, 'f')}
  (local.set $value ${VALUE})
  ;; " (rwxu) ", where w is bit 1
  ${unless(`(i64.eq (i64.and (i64.load ${get('f')}) (i64.const ${0xffff00000000ffffn})) (i64.const ${0x2029000000002820n}))`)}
  ${unless(`(call $noColon (i32.load ${plus('f', 2)}))`)}
  ${unless(`(i32.eq (i32.load8_u ${plus('f', 3)}) (select (i32.const 119) (i32.const 45)
    (i32.wrap_i64 (i64.and ${get('value')} (i64.const 2)))))`)}
  ${level('f', 8)}
  (local.set $f ${plus('f', 15)})
  ${endsOrGoesOn('f', must(get('f'), ' at '), hex('f', 4, 'e'), `(local.set $f ${get('e')})`)}
  ${row(KIND.set)}`;

export const REQUESTED = `
  ${skipKind(KIND.requested)}
  ${payload(22)}
  ${must(get('f'), 'gfn ')}
  ${hex('f', 4, 'e')}
  ${SET_KEY}
  ${must(get('e'), ' pfn ')}
  ${hex('e', 5, 'f')}
  (local.set $value ${VALUE})
  ${must(get('f'), ' ')}
  ${level('f', 1)}
  (local.set $f ${plus('f', 8)})
  ${endsOrGoesOn('f', must(get('f'), ' access '), hex('f', 8, 'e'), `(local.set $f ${get('e')})`)}
  ${row(KIND.requested)}`;

export const CHANGED = `
  ${skipKind(KIND.changed)}
  ${payload(24)}
  ${must(get('f'), 'as id ')}
  (local.set $flags (i32.sub (i32.load8_u ${plus('f', 6)}) (i32.const 48)))
  ${unless(`(i32.lt_u ${get('flags')} (i32.const 10))`)}
  ${must(plus('f', 7), ' gfn ')}
  ${hex('f', 12, 'e')}
  ${SET_KEY}
  ${must(get('e'), ' ')}
  ${level('e', 1)}
  ${must(plus('e', 8), ' old_spt')}
  ${must(plus('e', 16), 'e ')}
  ${hex('e', 18, 'f')}
  (local.set $before ${VALUE})
  ${must(get('f'), ' new_spt')}
  ${must(plus('f', 8), 'e ')}
  ${hex('f', 10, 'e')}
  (local.set $value ${VALUE})
  ${ends('e')}
  ${row(KIND.changed)}`;

export const PAGE_FAULT = `
  ${skipKind(KIND.pageFault)}
  ${payload(14)}
  ${must(get('f'), 'vcpu ')}
  ${hex('f', 5, 'e')}
  ${must(get('e'), ' rip 0x')}
  ${hex('e', 7, 'f')}
  ${must(get('f'), ' address')}
  ${must(plus('f', 8), ' 0x')}
  ${hex('f', 11, 'e')}
  ${SET_KEY}
  ${must(get('e'), ' error_c')}
  ${must(plus('e', 8), 'ode 0x')}
  ${hex('e', 14, 'f')}
  (local.set $value ${VALUE})
  ${ends('f')}
  ${row(KIND.pageFault)}`;

/** "sptep:0000000004b226b8 gfn 6173a access 5 gen 2a" */
export const MMIO_MARKED = `
  ${skipKind(KIND.mmioMarked)}
  ${payload(14)}
  ${must(get('f'), 'sptep:')}
  ${hex('f', 6, 'e')}
  ${must(get('e'), ' gfn ')}
  ${hex('e', 5, 'f')}
  ${SET_KEY}
  ${must(get('f'), ' access ')}
  ${hex('f', 8, 'e')}
  ${must(get('e'), ' gen ')}
  ${hex('e', 5, 'f')}
  (local.set $value ${VALUE})
  ${ends('f')}
  ${row(KIND.mmioMarked)}`;

/** "addr:0 gfn 6173a access 6" */
export const MMIO_FAULT = `
  ${skipKind(KIND.mmioFault)}
  ${payload(22)}
  ${must(get('f'), 'addr:')}
  ${hex('f', 5, 'e')}
  ${must(get('e'), ' gfn ')}
  ${hex('e', 5, 'f')}
  ${SET_KEY}
  ${must(get('f'), ' access ')}
  ${hex('f', 8, 'e')}
  ${ends('e')}
  ${row(KIND.mmioFault)}`;

/** "sp gen 0 gfn 1000 l1 8-byte ...": after the level nothing may be but another event. */
export const ZAP_PAGE = `
  ${skipKind(KIND.zapPage)}
  ${payload(24)}
  ${must(get('f'), 'sp gen ')}
  ${hex('f', 7, 'e')}
  ${must(get('e'), ' gfn ')}
  ${hex('e', 5, 'f')}
  ${SET_KEY}
  ${must(get('f'), ' l')}
  (local.set $level (i32.sub (i32.load8_u ${plus('f', 2)}) (i32.const 48)))
  ${unless(`(i32.lt_u ${get('level')} (i32.const 10))`)}
  ${must(plus('f', 3), ' ')}
  ${lineEnd('f')}
  ${unless(`(call $noColonBefore ${plus('f', 3)} ${get('eol')})`)}
  ${row(KIND.zapPage)}`;

/** "msr_write 277 = 0x7040600070406 (#GP)", "cr_write 0 = 0x80050033" */
export function register(kind: number, system: string): string {
  const length = system.length + 1;
  return `
  ${must(plus('q', 4 + system.length), ': ')}
  ${skipKind(kind)}
  ${payload(4 + system.length)}
  (local.set $flags (i32.eq (i32.load8_u ${plus('f', length)}) (i32.const ${chars('w')})))
  (if ${get('flags')}
    (then ${must(get('f'), `${system}_`)} ${must(plus('f', length), 'write ')} (local.set $f ${plus('f', 1)}))
    (else ${must(get('f'), `${system}_`)} ${must(plus('f', length), 'read ')}))
  ${hex('f', length + 5, 'e')}
  ${SET_KEY}
  ${must(get('e'), ' = 0x')}
  ${hex('e', 5, 'f')}
  (local.set $value ${VALUE})
  ${endsOrGoesOn(
    'f',
    must(get('f'), ' (#GP)'),
    `(local.set $flags (i32.or ${get('flags')} (i32.const 2)))`,
    `(local.set $f ${plus('f', 6)})`,
  )}
  ${row(kind)}`;
}

/** "vcpu 0 reason npf rip 0x1000 ...": a name, not a number. */
export const EXIT = `
  ${skipKind(KIND.exit)}
  ${payload(8)}
  ${must(get('f'), 'vcpu ')}
  ${hex('f', 5, 'e')}
  ${must(get('e'), ' reason ')}
  ${unless(`(i32.ne (i32.or (i32.load16_u ${plus('e', 8)}) (i32.const 8192)) (i32.const ${chars('0x')}))`)}
  ${digits('e', 8)}
  (local.set $f (i32.load8_u (i32.add ${plus('e', 8)} ${get('n')})))
  ${unless(`(i32.gt_u ${get('f')} (i32.const ${chars(',')}))`)}
  ${lineEnd('e')}
  ${unless(`(call $noColonBefore ${get('e')} ${get('eol')})`)}
  (local.set $key (i64.const -1))
  ${row(KIND.exit)}`;

/** Any other event, when its name was seen before. */
export const OTHER = `
  (local.set $e (call $nameEnd ${get('q')}))
  (br_if $unknown (i32.eqz ${get('e')}))
  (local.set $f (call $nameSlot ${get('q')} (i32.sub ${get('e')} ${get('q')})))
  ${unless(`(call $isName ${get('f')} ${get('q')} (i32.sub ${get('e')} ${get('q')}))`)}
  ${lineEnd('e')}
  (i32.store offset=${NAME_SEEN} ${get('f')}
    (i32.add (i32.load offset=${NAME_SEEN} ${get('f')}) (i32.const 1)))
  (br_if $next (i32.eq (i32.load offset=${NAME_ACTION} ${get('f')}) (i32.const ${COUNTED})))
  (local.set $key (i64.extend_i32_u (i32.load offset=${NAME_INDEX} ${get('f')})))
  (local.set $kind (i32.const ${KIND.other}))
  (br $row)`;
