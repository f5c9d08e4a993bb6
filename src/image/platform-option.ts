import { type Platform, parsePlatform } from '../spec/platform.ts'

/** The platform that options ask for. @throws ERR_INVALID_ARGUMENT */
export function platformOption({ platform }: { readonly platform?: string | Platform | undefined }, host: Platform): Platform {
  return typeof platform === 'string' ? parsePlatform(platform) : (platform ?? host)
}
