import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseLibvirtDomain, reduceLibvirtXml } from './libvirt.ts';
import { at, parseXml, type XmlElement, xmlText } from './xml.ts';

const STATUS = `<!--
WARNING: THIS IS AN AUTO-GENERATED FILE. CHANGES TO IT ARE LIKELY TO BE
OVERWRITTEN AND LOST.
-->
<domstatus state='running' reason='booted' pid='4711'>
  <monitor path='/var/lib/libvirt/qemu/domain-1-work/monitor.sock' type='unix'/>
  <domain type='kvm' id='1' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
    <name>work &amp; play</name>
    <uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>
    <memory unit='KiB'>8388608</memory>
    <memoryBacking>
      <hugepages/>
      <source type='memfd'/>
      <access mode='shared'/>
    </memoryBacking>
    <devices>
      <emulator>/usr/bin/qemu-system-x86_64</emulator>
      <interface type='network'><mac address='52:54:00:00:00:01'/></interface>
      <graphics type='vnc' passwd='hunter2'/>
      <video><model type='virtio' heads='1' blob='on'/></video>
      <hostdev mode='subsystem' type='pci' managed='yes'>
        <source><address domain='0x0000' bus='0x06' slot='0x12' function='0x5'/></source>
        <address type='pci' domain='0x0000' bus='0x00' slot='0x05' function='0x0'/>
      </hostdev>
      <hostdev mode='subsystem' type='mdev' model='vfio-pci'/>
    </devices>
    <launchSecurity type='tdx'><policy>0x10000000</policy></launchSecurity>
    <qemu:commandline>
      <qemu:arg value='-accel'/>
      <qemu:arg value='kvm,honor-guest-pat=on'/>
      <qemu:arg value='-fw_cfg'/>
      <qemu:arg value='name=opt/x,string=secret'/>
    </qemu:commandline>
  </domain>
</domstatus>
`;

const DOMAIN = {
  name: 'work & play',
  pid: 4711,
  type: 'kvm',
  emulator: '/usr/bin/qemu-system-x86_64',
  memory: { source: 'memfd', access: 'shared', hugepages: true },
  hostdevs: ['0000:06:12.5', 'mdev'],
  videos: [{ model: 'virtio', blob: true }],
  passed: ['-accel', 'kvm,honor-guest-pat=on'],
  launchSecurity: 'tdx',
};

describe('a domain of libvirt', () => {
  test('what bears on memory types', () => {
    expect(parseLibvirtDomain(STATUS, 'x')).toEqual({ value: DOMAIN, problems: [] });
  });

  test('reduced: the same answer, nothing else, and the same again', () => {
    const reduced = reduceLibvirtXml(STATUS);
    expect(parseLibvirtDomain(reduced, 'x').value).toEqual(DOMAIN);
    expect(reduced).not.toMatch(/hunter2|52:54|uuid|secret|monitor|policy/);
    expect(reduceLibvirtXml(reduced)).toBe(reduced);
  });

  test('another file is said to be one', () => {
    const { value, problems } = parseLibvirtDomain('<network><name>default</name></network>', 'x');
    expect([value, problems.length]).toEqual([null, 1]);
    expect(reduceLibvirtXml('<network><name>default</name></network>')).toBe('');
    expect(reduceLibvirtXml('no xml')).toBe('');
  });
});

describe('XML, strictly', () => {
  test.each([
    ['<a><b></a>', 1, 'closes nothing'],
    ['<a>\n  <b x="1" x="2"/>\n</a>', 2, 'x= twice'],
    ['<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', 1, 'document type'],
    ['<a>&b;</a>', 1, 'no entity'],
    ['<a>&#0;</a>', 1, 'no entity'],
    ['<a>& b</a>', 1, 'no entity'],
    ['<a x=1/>', 1, 'quotation mark'],
    ['<a x="1"y="2"/>', 1, 'a blank is missing'],
    ['<a x="1', 1, 'does not end'],
    ['<a/><b/>', 1, 'second element'],
    ['<a>\n<b>', 2, 'never closed'],
    ['a', 1, 'outside of any element'],
    ['', 1, 'no element'],
    ['<a><!-- x', 1, 'without'],
    ['<'.repeat(9), 1, 'a name is missing'],
    [`${'<a>'.repeat(70)}${'</a>'.repeat(70)}`, 1, 'too deep'],
  ])('%j', (text, line, message) => {
    const { problems } = parseLibvirtDomain(text, 'f.xml');
    expect(problems[0]?.place).toMatchObject({ file: 'f.xml', line });
    expect(problems[0]?.message).toContain(message);
  });

  test('characters by number, CDATA, both quotation marks', () => {
    const root = parseXml(`<?xml version='1.0'?><a b='"' c="&#x41;&#66;"><![CDATA[<x>&]]></a>`, '');
    expect([...root.attributes]).toEqual([
      ['b', '"'],
      ['c', 'AB'],
    ]);
    expect(root.text).toBe('<x>&');
    expect(at(root, 'none')).toEqual([]);
  });

  test('what is written is read again', () => {
    const name = fc.stringMatching(/^[a-z][a-z:]{0,6}$/);
    const text = fc.string({ maxLength: 12 }).map((s) => s.replace(/\s+/g, ' ').trim());
    const plain = fc.string({ maxLength: 12 });
    const element = (depth: number): fc.Arbitrary<XmlElement> =>
      fc.record({
        name,
        attributes: fc.array(fc.tuple(name, plain)).map((pairs) => new Map(pairs)),
        children: depth === 0 ? fc.constant([]) : fc.array(element(depth - 1), { maxLength: 3 }),
        text,
      });
    fc.assert(
      fc.property(element(3), (given) => {
        expect(parseXml(xmlText(given), '')).toEqual(given);
      }),
      { numRuns: 100 },
    );
  });

  test('no text makes it throw anything else, or hang', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'<>/a="\'&;![]-? \n#x1') }), (text) => {
        parseLibvirtDomain(text, 'f');
        reduceLibvirtXml(text);
      }),
    );
  });
});
