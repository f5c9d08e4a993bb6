import { createHash } from 'node:crypto'
import { der, derOidOf, signWith, type TestCertificate } from './x509-issuer.ts'

const SHA256 = der(0x30, derOidOf('2.16.840.1.101.3.4.2.1'))
const integer = (value: number) => der(0x02, Buffer.from([value]))
const hash = (data: Uint8Array) => createHash('sha256').update(data).digest()

/** The answer of a timestamp authority (RFC 3161) that it saw `data` at `time`. */
export function timestamp(authority: TestCertificate, data: Uint8Array, time = new Date()): Buffer {
  const genTime = der(0x18, Buffer.from(`${time.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`))
  const imprint = der(0x30, SHA256, der(0x04, hash(data)))
  const info = der(0x30, integer(1), derOidOf('1.2.3.4'), imprint, integer(5), genTime)
  const contentType = derOidOf('1.2.840.113549.1.9.16.1.4')
  const attributes = Buffer.concat([
    der(0x30, derOidOf('1.2.840.113549.1.9.3'), der(0x31, contentType)),
    der(0x30, derOidOf('1.2.840.113549.1.9.4'), der(0x31, der(0x04, hash(info)))),
  ])
  const signature = signWith(authority.key, der(0x31, attributes))
  const signer = der(
    0x30,
    integer(1),
    der(0x30, authority.issuerName, authority.serial),
    SHA256,
    der(0xa0, attributes),
    der(0x30, derOidOf('1.2.840.10045.4.3.2')),
    der(0x04, signature),
  )
  const signedData = der(0x30, integer(3), der(0x31, SHA256), der(0x30, contentType, der(0xa0, der(0x04, info))), der(0x31, signer))
  return der(0x30, der(0x30, integer(0)), der(0x30, derOidOf('1.2.840.113549.1.7.2'), der(0xa0, signedData)))
}
