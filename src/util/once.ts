/** A value that is made on first use and then kept. A failure is not kept: the next call tries again. */
export interface Once<Value> {
  (): Promise<Value>
  /** The value if somebody has asked for it. */
  made(): Promise<Value> | undefined
}

export function once<Value>(make: () => Promise<Value>): Once<Value> {
  let kept: Promise<Value> | undefined
  const get = () => {
    if (kept === undefined) {
      const making = make()
      kept = making
      making.catch(() => {
        if (kept === making) kept = undefined
      })
    }
    return kept
  }
  return Object.assign(get, { made: () => kept })
}
