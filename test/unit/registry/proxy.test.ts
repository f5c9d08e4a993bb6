import { expect, test } from '@jest/globals'
import { proxyFor } from '../../../src/registry/proxy.ts'

test('the scheme of the URL chooses the variable, upper case first', () => {
  const env = { HTTPS_PROXY: 'http://a:1', https_proxy: 'http://b:2', http_proxy: 'c:3' }
  expect(proxyFor(new URL('https://example.com/'), env)).toBe('http://a:1')
  expect(proxyFor(new URL('http://example.com/'), env)).toBe('http://c:3')
  expect(proxyFor(new URL('https://example.com/'), { HTTPS_PROXY: '', https_proxy: 'http://b:2' })).toBe('http://b:2')
  expect(proxyFor(new URL('https://example.com/'), {})).toBeUndefined()
})

test.each([
  ['https://localhost:5000', '', false],
  ['https://127.9.9.9', '', false],
  ['https://[::1]:5000', '', false],
  ['https://example.com', '*', false],
  ['https://example.com', 'example.com', false],
  ['https://sub.example.com', 'example.com', false],
  ['https://sub.example.com', '.example.com', false],
  ['https://sub.example.com', '*.example.com', false],
  ['https://example.com', '.example.com', true],
  ['https://badexample.com', 'example.com', true],
  ['https://EXAMPLE.com', 'other, Example.COM ,', false],
  ['https://example.com:8443', 'example.com:8443', false],
  ['https://example.com', 'example.com:443', false],
  ['https://example.com', 'example.com:8443', true],
  ['https://10.1.2.3', '10.0.0.0/8', false],
  ['https://11.1.2.3', '10.0.0.0/8', true],
  ['https://10.1.2.3', '10.1.2.3', false],
  ['https://110.1.2.3', '10.1.2.3', true],
  ['https://[fd00::5]', 'fd00::/8', false],
  ['https://[fd00::5]:5000', '[fd00::5]:5000', false],
  ['https://10.1.2.3', '10.0.0.0/99', true],
  ['https://10.1.2.3', 'fd00::/8', true],
])('%s with NO_PROXY %j goes through the proxy: %s', (url, NO_PROXY, expected) => {
  expect(proxyFor(new URL(url), { HTTPS_PROXY: 'http://proxy:3128', NO_PROXY }) !== undefined).toBe(expected)
})
