import { describe, expect, test } from '@jest/globals'
import { resolveUser } from '../../../src/bundle/users.ts'

const PASSWD = Buffer.from('root:x:0:0:root:/root:/bin/sh\nann:x:1000:1001::/home/ann:/bin/sh\nbroken line\n4711:x:0:0::/root:/bin/sh\n')
const GROUP = Buffer.from('root:x:0:\nann:x:1001:\naudio:x:29:bob,ann\nvideo:x:44:ann')
const look = (user: string, groups: string[] = []) => resolveUser({ user, groups, passwd: PASSWD, group: GROUP })

describe('a user', () => {
  test('is root when nothing is said', () => {
    expect(look('')).toEqual({ uid: 0, gid: 0, additionalGids: [0], home: '/root' })
    expect(resolveUser({ user: '', passwd: null, group: null })).toEqual({ uid: 0, gid: 0, additionalGids: [0], home: '/' })
  })

  test('is found by name and by id, with the groups it belongs to', () => {
    const ann = { uid: 1000, gid: 1001, additionalGids: [1001, 29, 44], home: '/home/ann' }
    expect(look('ann')).toEqual(ann)
    expect(look('1000')).toEqual(ann)
  })

  test('with a group of its own has that group alone', () => {
    expect(look('ann:audio')).toEqual({ uid: 1000, gid: 29, additionalGids: [29], home: '/home/ann' })
    expect(look('1000:77')).toEqual({ uid: 1000, gid: 77, additionalGids: [77], home: '/home/ann' })
    expect(look(':audio')).toMatchObject({ uid: 0, gid: 29 })
  })

  test('may be an id that the image does not know', () => {
    expect(look('65534')).toEqual({ uid: 65534, gid: 0, additionalGids: [0], home: '/' })
    expect(resolveUser({ user: '5:6', passwd: null, group: null })).toEqual({ uid: 5, gid: 6, additionalGids: [6], home: '/' })
  })

  test('may be given more groups', () => {
    expect(look('ann', ['video', '99']).additionalGids).toEqual([1001, 29, 44, 99])
  })

  test.each(['bob', 'ann:nope', 'ann:', 'a:b:c', 'no user', '../x'])('%p is not found', (user) => {
    expect(() => look(user)).toThrow(expect.objectContaining({ code: 'ERR_USER_NOT_FOUND' }))
  })
})
