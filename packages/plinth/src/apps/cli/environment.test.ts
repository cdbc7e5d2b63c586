/** What the environment may say of the backplane, and what is refused with the way out. */
import { describe, expect, test } from 'vitest';
import { readEnvironment, SettingFault } from './environment.ts';

describe('PLINTH_REALTIME_BACKPLANE', () => {
  test.each([
    [{}, undefined],
    [{ PLINTH_REALTIME_BACKPLANE: 'postgres' }, undefined],
    [{ PLINTH_REALTIME_BACKPLANE: 'none' }, false],
    [{ PLINTH_REALTIME_BACKPLANE: 'nats://a:4222,nats://b:4222' }, 'nats://a:4222,nats://b:4222'],
    [{ PLINTH_REALTIME_BACKPLANE: 'rediss://:secret@cache:6380/1' }, 'rediss://:secret@cache:6380/1'],
    [{ PLINTH_REALTIME_BACKPLANE: 'redis', PLINTH_REDIS_URL: 'redis://cache:6379' }, 'redis://cache:6379'],
  ])('%j is %s', (env, expected) => expect(readEnvironment(env).realtimeBackplane).toBe(expected));

  test.each([
    [{ PLINTH_REALTIME_BACKPLANE: 'kafka' }, /is "kafka": give postgres, none, or a URL/],
    [{ PLINTH_REALTIME_BACKPLANE: 'http://cache:6379' }, /is "http:\/\/cache:6379"/],
    [{ PLINTH_REALTIME_BACKPLANE: 'nats' }, /names nats, and PLINTH_NATS_URL is not set/],
  ])('%j is refused', (env, sentence) => {
    const read = () => readEnvironment(env);
    expect(read).toThrow(SettingFault);
    expect(read).toThrow(sentence);
  });

  test('a password is not repeated in the refusal', () => {
    expect(() => readEnvironment({ PLINTH_REALTIME_BACKPLANE: 'amqp://user:secret@bus' })).toThrow(
      expect.not.objectContaining({ message: expect.stringContaining('secret') }),
    );
  });
});
