import { KIND } from '../batch.ts';
import { HELPERS } from './helpers.ts';
import {
  BATCH_EVENTS,
  COLUMN_AT,
  COLUMNS,
  CONTEXT_LENGTH,
  COUNTED,
  type ColumnName,
  MASKS,
  NAME_ACTION,
  NAME_INDEX,
  NAME_SEEN,
  SEEN,
  SKIPPED,
} from './layout.ts';
import { all, all16, any, bits32, get, is, must, plus, unless, when } from './words.ts';

// The fast reader, in WebAssembly's text format.

/**
 * Reads a hexadecimal number from an address into `read`; its end into a local, which must not be where it began.
 * Of more than 16 digits the first 16.
 */
function hex(from: string, offset: number, end: string): string {
  return `
    (local.set $digit (v128.load offset=${offset} ${get(from)}))
    (local.set $letter (i8x16.sub (v128.or ${get('digit')} ${all(32)}) ${all('a')}))
    (local.set $digit (i8x16.sub ${get('digit')} ${all('0')}))
    (local.set $isDigit (i8x16.le_u ${get('digit')} ${all(9)}))
    (local.set $n (i32.ctz (i32.xor (i32.const -1) (i8x16.bitmask
      (v128.or ${get('isDigit')} (i8x16.le_u ${get('letter')} ${all(5)}))))))
    (br_if $unknown (i32.eqz ${get('n')}))
    ;; The last digit first, zeros behind the first.
    (local.set $digit (i8x16.swizzle
      (v128.bitselect ${get('digit')} (i8x16.add ${get('letter')} ${all(10)}) ${get('isDigit')})
      (i8x16.sub (i8x16.splat (i32.sub ${get('n')} (i32.const 1)))
        (v128.const 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15))))
    (local.set $digit (v128.or
      (v128.and ${get('digit')} ${all16(0xff)})
      (i16x8.shl (i16x8.shr_u ${get('digit')} (i32.const 8)) (i32.const 4))))
    (local.set $read (i64x2.extract_lane 0
      (i8x16.narrow_i16x8_u ${get('digit')} ${get('digit')})))
    (local.set $${end} (i32.add (i32.add ${get(from)} (i32.const ${offset})) ${get('n')}))`;
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

function skipKind(kind: number): string {
  return when(`(i32.load8_u (i32.const ${SKIPPED + kind}))`, seen(kind), '(br $next)');
}

function seen(kind: number): string {
  const at = `(i32.const ${SEEN + 4 * kind})`;
  return `(i32.store ${at} (i32.add (i32.load ${at}) (i32.const 1)))`;
}

/** The end of an event of a kind whose fields are in the locals. */
function row(kind: number): string {
  return `
    ${seen(kind)}
    (local.set $kind (i32.const ${kind}))
    (br $row)`;
}

const SET = `
  ${skipKind(KIND.set)}
  ${payload(16)}
  ${must(get('f'), 'gfn ')}
  ${hex('f', 4, 'e')}
  ${SET_KEY}
  ${must(get('e'), ' spte ')}
  ${hex('e', 6, 'f')}
  (local.set $value ${VALUE})
  ;; " (rwxu) "
  ${unless(`(i64.eq (i64.and (i64.load ${get('f')}) (i64.const ${0xffff00000000ffffn})) (i64.const ${0x2029000000002820n}))`)}
  ${unless(`(call $noColon (i32.load ${plus('f', 2)}))`)}
  ${level('f', 8)}
  (local.set $f ${plus('f', 15)})
  ${when(
    `(i32.ne ${get('f')} ${get('stop')})`,
    must(get('f'), ' at '),
    hex('f', 4, 'e'),
    unless(`(i32.eq ${get('e')} ${get('stop')})`),
  )}
  ${row(KIND.set)}`;

const REQUESTED = `
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
  ${when(
    `(i32.ne ${get('f')} ${get('stop')})`,
    must(get('f'), ' access '),
    hex('f', 8, 'e'),
    unless(`(i32.eq ${get('e')} ${get('stop')})`),
  )}
  ${row(KIND.requested)}`;

const CHANGED = `
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
  ${unless(`(i32.eq ${get('e')} ${get('stop')})`)}
  ${row(KIND.changed)}`;

const PAGE_FAULT = `
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
  ${unless(`(i32.eq ${get('f')} ${get('stop')})`)}
  ${row(KIND.pageFault)}`;

/** Any other event, when its name was seen before. */
const OTHER = `
  (local.set $e (call $nameEnd ${get('q')}))
  (br_if $unknown (i32.eqz ${get('e')}))
  (local.set $f (call $nameSlot ${get('q')} (i32.sub ${get('e')} ${get('q')})))
  ${unless(`(call $isName ${get('f')} ${get('q')} (i32.sub ${get('e')} ${get('q')}))`)}
  (i32.store offset=${NAME_SEEN} ${get('f')}
    (i32.add (i32.load offset=${NAME_SEEN} ${get('f')}) (i32.const 1)))
  (br_if $next (i32.eq (i32.load offset=${NAME_ACTION} ${get('f')}) (i32.const ${COUNTED})))
  (local.set $key (i64.extend_i32_u (i32.load offset=${NAME_INDEX} ${get('f')})))
  (local.set $kind (i32.const ${KIND.other}))
  (br $row)`;

/** The context of the line: the same columns as before, or others that were seen. */
const CONTEXT = `
  (if (i32.eqz (call $isContext (global.get $context) ${get('at')})) (then
    (local.set $f (call $contextSlot ${get('at')}
      (i32.load offset=${CONTEXT_LENGTH} (global.get $context))))
    ${unless(`(call $isContext ${get('f')} ${get('at')})`)}
    (global.set $context ${get('f')})))
  (local.set $p (i32.add ${get('at')} (i32.load offset=${CONTEXT_LENGTH} (global.get $context))))`;

/**
 * Flags and time: " ...1.    12.004166: ". The last word before the colon is the time, sixteen characters at
 * most; before it nothing has a colon or a bracket.
 */
const TIME = `
  (local.set $f ${bits32(get('p'), ':')})
  (br_if $unknown (i32.eqz ${get('f')}))
  (local.set $c (i32.ctz ${get('f')}))
  (local.set $below (i32.sub (i32.shl (i32.const 1) ${get('c')}) (i32.const 1)))
  (br_if $unknown (i32.and ${bits32(get('p'), '[')} ${get('below')}))
  ${must(get('p'), ' ')}
  (local.set $n (i32.sub ${get('c')} (i32.sub (i32.const 32)
    (i32.clz (i32.and ${bits32(get('p'), ' ')} ${get('below')})))))
  (local.set $q (i32.add ${get('p')} ${get('c')}))
  ${must(get('q'), ': ')}
  ${unless(`(i32.lt_u (i32.sub ${get('n')} (i32.const 1)) (i32.const 16))`)}
  (local.set $digits (i8x16.sub (v128.load (i32.sub ${get('q')} (i32.const 16))) ${all('0')}))
  ;; Which of the word's characters are no digits.
  (local.set $f (i32.and
    (i32.xor (i8x16.bitmask (i8x16.le_u ${get('digits')} ${all(9)})) (i32.const 65535))
    (i32.shl (i32.const 65535) (i32.sub (i32.const 16) ${get('n')}))))
  (local.set $f (i32.and ${get('f')} (i32.const 65535)))
  (local.set $digits (v128.and ${get('digits')} (v128.load (i32.add ${get('n')} (i32.const ${MASKS})))))
  (if ${get('f')}
    (then
      ;; One of them: the point, before six digits and after one at least.
      ${unless(
        any(
          `(i32.eq ${get('f')} (i32.const 512))`,
          is(`(i32.sub ${get('q')} (i32.const 7))`, '.'),
          `(i32.gt_u ${get('n')} (i32.const 7))`,
        ),
      )}
      (local.set $total (call $decimal (i8x16.swizzle ${get('digits')}
        (v128.const 16 0 1 2 3 4 5 6 7 8 10 11 12 13 14 15))))
      (local.set $time (f64.div (f64.convert_i64_u ${get('total')}) (f64.const 1000000))))
    (else
      (br_if $unknown (i32.gt_u ${get('n')} (i32.const 15)))
      (local.set $time (f64.convert_i64_u (call $decimal ${get('digits')})))))
  (local.set $q (call $afterBlanks ${plus('q', 2)}))
  ;; perf has the system before the name.
  ${when(is(get('q'), 'kvmmmu:'), `(local.set $q ${plus('q', 7)})`)}
  ;; The colon may have been one of the next line.
  ${unless(`(i32.lt_u ${get('q')} ${get('eol')})`)}`;

/** The end of the line: 64 bytes at a time. */
const LINE_END = `
  (local.set $p ${get('at')})
  (block $found
    (loop $more
      (local.set $mask (i64.or
        (i64.extend_i32_u ${bits32(get('p'), '\n')})
        (i64.shl (i64.extend_i32_u ${bits32(plus('p', 32), '\n')}) (i64.const 32))))
      (br_if $found (i64.ne ${get('mask')} (i64.const 0)))
      (local.set $p ${plus('p', 64)})
      (br $more)))
  (local.set $eol (i32.add ${get('p')} (i32.wrap_i64 (i64.ctz ${get('mask')}))))
  (local.set $stop (i32.sub ${get('eol')}
    (i32.eq (i32.load8_u (i32.sub ${get('eol')} (i32.const 1))) (i32.const 13))))`;

/** Stores into a column. */
function store(column: ColumnName, type: string, shift: number, value: string): string {
  const index = '(global.get $count)';
  const at = shift === 0 ? index : `(i32.shl ${index} (i32.const ${shift}))`;
  return `(${type} offset=${COLUMNS + COLUMN_AT[column]} ${at} ${value})`;
}

function high(name: string): string {
  return `(i32.wrap_i64 (i64.shr_u ${get(name)} (i64.const 32)))`;
}

function ofContext(index: number): string {
  return `(i32.load offset=${CONTEXT_LENGTH + 4 * index} (global.get $context))`;
}

const ROW = `
  ${store('time', 'f64.store', 3, get('time'))}
  ${store('place', 'f64.store', 3, '(f64.convert_i64_u (global.get $line))')}
  ${store('key', 'f64.store', 3, `(f64.convert_i64_u ${get('key')})`)}
  ${store('tid', 'i32.store', 2, ofContext(1))}
  ${store('tgid', 'i32.store', 2, ofContext(2))}
  ${store('valueHi', 'i32.store', 2, high('value'))}
  ${store('valueLo', 'i32.store', 2, `(i32.wrap_i64 ${get('value')})`)}
  ${store('beforeHi', 'i32.store', 2, high('before'))}
  ${store('beforeLo', 'i32.store', 2, `(i32.wrap_i64 ${get('before')})`)}
  ${store('cpu', 'i32.store16', 1, ofContext(3))}
  ${store('kind', 'i32.store8', 0, get('kind'))}
  ${store('level', 'i32.store8', 0, get('level'))}
  ${store('flags', 'i32.store8', 0, get('flags'))}
  (global.set $count (i32.add (global.get $count) (i32.const 1)))`;

/**
 * `run(at, end)`: reads whole lines, the last one ending before `end`, until one is not of a shape that kernels
 * print, or the columns are full; returns where it stopped. Every byte of a line is compared with what must be
 * there, or is part of a number.
 */
export const PROGRAM = `
(global $line i64)
(global $count i32)
(global $context i32)
${HELPERS}
(func $run (param $at i32) (param $end i32) (result i32)
  (local $p i32) (local $q i32) (local $e i32) (local $f i32) (local $c i32) (local $n i32)
  (local $eol i32) (local $stop i32) (local $below i32)
  (local $mask i64) (local $total i64) (local $time f64) (local $digits v128)
  (local $kind i32) (local $level i32) (local $flags i32)
  (local $digit v128) (local $letter v128) (local $isDigit v128) (local $read i64)
  (local $key i64) (local $value i64) (local $before i64)
  (block $unknown
    (loop $lines
      (br_if $unknown (i32.ge_u ${get('at')} ${get('end')}))
      (br_if $unknown (i32.eq (global.get $count) (i32.const ${BATCH_EVENTS})))
      ${LINE_END}
      ${CONTEXT}
      ${TIME}
      (local.set $level (i32.const 0))
      (local.set $flags (i32.const 0))
      (local.set $value (i64.const 0))
      (local.set $before (i64.const 0))
      (block $next
        (block $row
          ${when(
            is(get('q'), 'kvm_mmu_'),
            when(any(is(plus('q', 8), 'set_spte'), is(plus('q', 16), ': ')), SET),
            when(any(is(plus('q', 8), 'spte_req'), is(plus('q', 16), 'uested: ')), REQUESTED),
          )}
          ${when(
            any(
              is(get('q'), 'kvm_tdp_'),
              is(plus('q', 8), 'mmu_spte'),
              is(plus('q', 16), '_changed'),
              is(plus('q', 24), ': '),
            ),
            CHANGED,
          )}
          ${when(any(is(get('q'), 'kvm_page'), is(plus('q', 8), '_fault: ')), PAGE_FAULT)}
          ${OTHER})
        ${ROW})
      (global.set $line (i64.add (global.get $line) (i64.const 1)))
      (local.set $at ${plus('eol', 1)})
      (br $lines)))
  ${get('at')})
`;
