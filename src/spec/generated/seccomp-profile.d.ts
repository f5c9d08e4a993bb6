// Written by .ci/generate-validators.mjs from src/spec/schemas. Do not edit.
import type { Validator } from '../validator.js'

export declare const validate: Validator
