import { describe, expect, test } from 'vitest';
import { allows } from '#kernel/rpc.ts';
import { BUILT_IN_ROLES, beyond, PERMISSION, permissionsOf } from './permissions.ts';

describe('a scope allows', () => {
  test.each([
    ['audit.read', 'audit.read', true],
    ['audit.read', 'audit.write', false],
    ['audit.*', 'audit.write', true],
    ['audit.*', 'auditor.read', false],
    ['*.read', 'jobs.read', true],
    ['*.read', 'jobs.write', false],
    ['*.read', 'jobs.unread', false],
    ['*', 'anything.at_all', true],
    ['', 'audit.read', false],
    ['audit', 'audit.read', false],
  ])('%s: %s is %s', (scope, permission, expected) => {
    expect(allows([scope], permission)).toBe(expected);
  });
});

describe('granting', () => {
  test.each([
    [['audit.read'], ['*.read'], []],
    [['*.read'], ['audit.read'], ['*.read']],
    [['*.read'], ['*'], []],
    [['*'], ['*.read', '*.write', '*.admin'], ['*']],
    [['audit.*'], ['*.read', '*.write'], ['audit.*']],
    [['audit.*'], ['audit.*'], []],
    [['audit.read', 'jobs.read'], ['audit.read'], ['jobs.read']],
  ])('%j to who has %j goes beyond by %j', (wanted, own, expected) => {
    expect(beyond(wanted, own)).toEqual(expected);
  });

  test('no built-in role but the owner covers the owner, and an admin covers the rest', () => {
    const admin = BUILT_IN_ROLES.admin?.permissions ?? [];
    expect(beyond(BUILT_IN_ROLES.owner?.permissions ?? [], admin)).toEqual(['*']);
    for (const role of ['admin', 'member', 'viewer', 'support']) expect(beyond(BUILT_IN_ROLES[role]?.permissions ?? ['?'], admin)).toEqual([]);
  });
});

test('roles give the sum of their permissions, and an unknown one gives nothing', () => {
  const custom = new Map([['auditor', ['audit.read']]]);
  expect(permissionsOf(['viewer', 'auditor', 'king', 'viewer'], custom)).toEqual(['*.read', 'audit.read']);
  expect(permissionsOf(['toString', '__proto__', 'constructor'], custom)).toEqual([]);
});

test.each([
  ['*', true],
  ['audit.read', true],
  ['audit.*', true],
  ['*.read', true],
  ['audit.entries.read', true],
  ['audit', false],
  ['*.*', false],
  ['Audit.read', false],
  ['audit.', false],
  ['.read', false],
  ['audit.read ', false],
  ['**', false],
])('%j is a permission: %s', (text, expected) => {
  expect(PERMISSION.test(text)).toBe(expected);
});
