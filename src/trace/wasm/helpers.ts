import {
  CONTEXT_LENGTH,
  CONTEXT_SIZE,
  CONTEXT_SLOTS,
  CONTEXTS,
  MASKS_ZEROS,
  NAME_LENGTH,
  NAME_SIZE,
  NAME_SLOTS,
  NAMES,
} from './layout.ts';
import { all16, bits, bits32, get, plus } from './words.ts';

/** The functions that `run` calls. */
export const HELPERS = `
;; A number of sixteen decimal digits, the first one first.
(func $decimal (param $digits v128) (result i64)
  (local.set $digits (i32x4.dot_i16x8_s
    (i16x8.add
      (i16x8.mul (v128.and ${get('digits')} ${all16(0xff)}) ${all16(10)})
      (i16x8.shr_u ${get('digits')} (i32.const 8)))
    (v128.const ${'100 0 1 0 '.repeat(4)})))
  (i64.add
    (i64.mul (i64.const 100000000) (i64.extend_i32_u (i32.add
      (i32.mul (i32.const 10000) (i32x4.extract_lane 0 ${get('digits')}))
      (i32x4.extract_lane 1 ${get('digits')}))))
    (i64.extend_i32_u (i32.add
      (i32.mul (i32.const 10000) (i32x4.extract_lane 2 ${get('digits')}))
      (i32x4.extract_lane 3 ${get('digits')})))))

(func $afterBlanks (param $at i32) (result i32)
  (block $done
    (loop $more
      (br_if $done (i32.ne (i32.load8_u ${get('at')}) (i32.const 32)))
      (local.set $at ${plus('at', 1)})
      (br $more)))
  ${get('at')})

;; Where the line ends that an address is in.
(func $lineEnd (param $at i32) (result i32)
  (local $mask i32)
  (block $found
    (loop $more
      (local.set $mask ${bits32(get('at'), '\n')})
      (br_if $found ${get('mask')})
      (local.set $at ${plus('at', 32)})
      (br $more)))
  (i32.add ${get('at')} (i32.ctz ${get('mask')})))

;; Whether none of four characters is a colon.
(func $noColon (param $word i32) (result i32)
  (local.set $word (i32.xor ${get('word')} (i32.const ${0x3a3a3a3a})))
  (i32.eqz (i32.and (i32.const ${0x80808080})
    (i32.and (i32.sub ${get('word')} (i32.const ${0x01010101}))
      (i32.xor ${get('word')} (i32.const -1))))))

;; Whether there is no colon between two addresses, which are 15 bytes apart at least.
(func $noColonBefore (param $at i32) (param $end i32) (result i32)
  (block $done
    (loop $more
      (if (i32.gt_u ${plus('at', 16)} ${get('end')}) (then
        (br_if $done (i32.eq ${get('at')} ${get('end')}))
        (local.set $at (i32.sub ${get('end')} (i32.const 16)))))
      (if ${bits(get('at'), ':')} (then (return (i32.const 0))))
      (local.set $at ${plus('at', 16)})
      (br $more)))
  (i32.const 1))

;; Whether the text of a slot stands at an address.
(func $isContext (param $slot i32) (param $at i32) (result i32)
  ${standsAt('slot', 'at')})

;; The slot for columns of a length: a hash of the last 16 bytes, in which thread and processor are.
(func $contextSlot (param $at i32) (param $length i32) (result i32)
  (local.set $at (i32.sub (i32.add ${get('at')} ${get('length')}) (i32.const 16)))
  (i32.add (i32.const ${CONTEXTS}) (i32.mul (i32.const ${CONTEXT_SIZE})
    (call $hash (i64.load ${get('at')}) (i64.load offset=8 ${get('at')})
      (i32.const ${CONTEXT_SLOTS - 1})))))

(func $hash (param $a i64) (param $b i64) (param $limit i32) (result i32)
  (local.set $a (i64.mul
    (i64.xor (i64.mul ${get('a')} (i64.const ${0x9e3779b97f4a7c15n})) ${get('b')})
    (i64.const ${0xff51afd7ed558ccdn})))
  (local.set $a (i64.mul
    (i64.xor ${get('a')} (i64.shr_u ${get('a')} (i64.const 32)))
    (i64.const ${0x9e3779b97f4a7c15n})))
  (i32.and ${get('limit')} (i32.wrap_i64 (i64.shr_u ${get('a')} (i64.const 40)))))

;; Where a name of 8 to 32 characters ends before ": "; 0 when there is none.
(func $nameEnd (param $at i32) (result i32)
  (local $n i32)
  (local.set $n (i32.ctz ${bits32(get('at'), ':')}))
  (if (i32.or (i32.lt_u ${get('n')} (i32.const 8))
        (i32.or (i32.gt_u ${get('n')} (i32.const 31))
          (i32.ne (i32.load8_u offset=1 (i32.add ${get('at')} ${get('n')})) (i32.const 32))))
    (then (return (i32.const 0))))
  (i32.add ${get('at')} ${get('n')}))

(func $nameSlot (param $at i32) (param $length i32) (result i32)
  (i32.add (i32.const ${NAMES}) (i32.mul (i32.const ${NAME_SIZE})
    (call $hash (i64.load ${get('at')})
      (i64.load (i32.sub (i32.add ${get('at')} ${get('length')}) (i32.const 8)))
      (i32.const ${NAME_SLOTS - 1})))))

;; Whether the name of a slot stands at an address.
(func $isName (param $slot i32) (param $at i32) (param $length i32) (result i32)
  (local $mask i32)
  (local.set $mask (i32.sub (i32.const ${MASKS_ZEROS}) ${get('length')}))
  (i32.and
    (i32.eq ${get('length')} (i32.load offset=${NAME_LENGTH} ${get('slot')}))
    (i32.eqz (v128.any_true (v128.or
      (v128.xor (v128.load ${get('slot')})
        (v128.and (v128.load ${get('at')}) (v128.load ${get('mask')})))
      (v128.xor (v128.load offset=16 ${get('slot')})
        (v128.and (v128.load offset=16 ${get('at')}) (v128.load offset=16 ${get('mask')}))))))))
`;

/** Whether the text of a slot of columns stands at an address. */
export function standsAt(slot: string, at: string): string {
  const differs = (offset: number): string => {
    const text = `(v128.xor (v128.load offset=${offset} ${get(slot)}) (v128.load offset=${offset} ${get(at)}))`;
    return `(v128.and ${text} (v128.load offset=${offset + 64} ${get(slot)}))`;
  };
  return `(i32.and
    (i32.ne (i32.const 0) (i32.load offset=${CONTEXT_LENGTH} ${get(slot)}))
    (i32.eqz (v128.any_true (v128.or
      (v128.or ${differs(0)} ${differs(16)})
      (v128.or ${differs(32)} ${differs(48)})))))`;
}
