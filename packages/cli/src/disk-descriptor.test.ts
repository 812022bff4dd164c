import { describe, expect, it } from 'vitest';
import { describeDisk, parseDiskDescriptor } from './disk-descriptor.ts';

describe('disk descriptors', () => {
  it.each([
    ['x.vhd', { file: 'x.vhd' }],
    ['file=x.vhd', { file: 'x.vhd' }],
    ['file=a,,b.vhd,readonly', { file: 'a,b.vhd', readonly: true }],
    ['x.vhd,key=file:secret.key,overlay=y.vhd', { file: 'x.vhd', key: { kind: 'file', path: 'secret.key' }, overlay: 'y.vhd' }],
    ['x.img,key=fd:3,cipher=aes-xts-plain64,format=raw', { file: 'x.img', key: { kind: 'fd', descriptor: 3 }, cipher: 'aes-xts-plain64', format: 'raw' }],
    ['key=prompt,snapshot,file=x=y.vhd,holes=noise,crypt=payload', { file: 'x=y.vhd', key: { kind: 'prompt' }, snapshot: true, holes: 'noise', crypt: 'payload' }],
  ])('reads %s', (text, wanted) => expect(parseDiskDescriptor(text)).toEqual(wanted));

  it.each([
    ['', 'unknown field ""'],
    ['readonly', 'file=FILE is missing'],
    ['x.vhd,overlai=y', 'unknown field "overlai=y"; did you mean overlay?'],
    ['x.vhd,file=y.vhd,file=z', 'file is given twice'],
    ['x.vhd,key=hunter2', 'key: expected prompt, file:FILE, fd:N, env:NAME, service:FILE or pkcs11:token=NAME;object=NAME?module-path=FILE&pin-source=FILE; secrets themselves do not belong on a command line'],
    ['x.vhd,format=qcow2', 'format: expected raw or vhd, got "qcow2"'],
    ['x.vhd,overlay=', 'overlay= needs a value'],
    ['x.vhd,overlay=y,snapshot', 'overlay and snapshot exclude each other'],
    ['x.vhd,readonly,snapshot', 'readonly goes with neither overlay nor snapshot'],
    ['x.vhd,key=pkcs11:token=a', 'expected pkcs11:token=NAME;object=NAME'],
    ['x.vhd,key=env:A,cipher=aes-xts-plain64', 'takes a key of exact length'],
  ])('refuses %j', (text, problem) => {
    expect(() => parseDiskDescriptor(text)).toThrow(problem);
    expect(() => describeDisk(text)).toThrow(problem);
  });
});
