import { expect, test } from 'vitest';
import { parseAmdgpuGem } from './amdgpu-gem.ts';

// Made from the format strings of amdgpu_bo_print_info: no AMD GPU was at hand.
const OLD = `pid     1204 command Xorg:
		0x00000001:      8294400 byte VRAM pin count 1 exported as 00000000d3b0c8a1 NO_CPU_ACCESS CPU_GTT_USWC
		0x00000002:      2097152 byte  GTT CPU_ACCESS_REQUIRED CPU_GTT_USWC VM_ALWAYS_VALID
		0x00000003:         4096 byte  CPU VRAM_CLEARED
`;
const NEW = `pid     4711 command qemu-system-x86:
		0x00000001:     16777216 byte VRAM VISIBLE exported as ino:31337 CPU_ACCESS_REQUIRED
		0x00000002:      2097152 byte GTT exported as ino:31338 CPU_GTT_USWC
		0x00000003:         8192 byte GTT imported from ino:99
		0x00000004:         4096 byte DOORBELL
		0x00000005:         4096 byte UNKNOWN VM_ALWAYS_VALID	kernel fence:drm_sched gfx_0.0.0 seq 7 unsignalled
	read fence:amdgpu sdma0 seq 12 signalled

`;

test('6.1', () => {
  const { value, problems } = parseAmdgpuGem(OLD, 'gem');
  expect(problems).toEqual([]);
  expect(value.clients.map((c) => c.pid)).toEqual([1204]);
  expect(
    value.clients[0]?.buffers.map((b) => [b.placement, b.uswc, b.noCpuAccess, b.inode]),
  ).toEqual([
    ['vram', true, true, null],
    ['gtt', true, false, null],
    ['system', false, false, null],
  ]);
});

test('6.8 and later, with inodes, fences and other placements', () => {
  const { value, problems } = parseAmdgpuGem(NEW, 'gem');
  expect(problems).toEqual([]);
  const [client] = value.clients;
  expect(client?.buffers.map((b) => [b.placement, b.uswc, b.imported, b.inode])).toEqual([
    ['visible', false, false, '31337'],
    ['gtt', true, false, '31338'],
    ['gtt', false, true, null],
    ['other', false, false, null],
    ['unknown', false, false, null],
  ]);
  expect(client?.buffers[1]?.size).toBe(2097152);
});

test('another line is a problem with its place', () => {
  const { problems } = parseAmdgpuGem('pid 1 command a:\nhello\n', 'gem');
  expect(problems.map((p) => p.place?.line)).toEqual([2]);
});
