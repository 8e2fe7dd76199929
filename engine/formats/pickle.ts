/**
 * Decodes the pickles inside PyTorch checkpoints into plain values, running no code. It knows the few opcodes that
 * `torch.save` of a state dict uses and the few names that such a pickle may refer to; everything else ends the reading
 * with an error that names it. Work and memory are bounded by a budget of operations.
 * Source: CPython Lib/pickletools.py (opcodes), torch/_utils.py and torch/serialization.py (what state dicts contain).
 */
import { EngineError } from '../errors.ts'
import type { ByteCursor } from './byte-cursor.ts'
import type { FloatType } from './floats.ts'

/** Enough for state dicts of several thousand tensors (about 45 operations each). */
const LIMITS = {
  pickleBytes: 16 * 2 ** 20,
  operations: 400_000,
  stack: 16_384,
  memo: 65_536,
  textBytes: 65_536,
  longBytes: 255,
} as const

/** Element type of a storage: a float type that Tern reads, another by its torch name, or raw bytes. */
export type StorageType = FloatType | 'untyped' | `torch.${string}`

export class Storage {
  readonly type: StorageType
  readonly key: string
  /** Elements; bytes of an untyped storage. */
  readonly elementCount: number
  constructor(type: StorageType, key: string, elementCount: number) {
    this.type = type
    this.key = key
    this.elementCount = elementCount
  }
}

export class PickledTensor {
  readonly storage: Storage
  readonly type: StorageType
  /** All in elements. */
  readonly offset: number
  readonly shape: number[]
  readonly strides: number[]
  constructor(storage: Storage, type: StorageType, offset: number, shape: number[], strides: number[]) {
    this.storage = storage
    this.type = type
    this.offset = offset
    this.shape = shape
    this.strides = strides
  }
}

class Tuple {
  readonly items: readonly PickleValue[]
  constructor(items: readonly PickleValue[]) {
    this.items = items
  }
}

/** A name that the pickle refers to; it is only ever compared with the list below. */
class Global {
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
}

export type PickleDict = Map<PickleValue, PickleValue>
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Tuple
  | PickleValue[]
  | PickleDict
  | Global
  | Storage
  | PickledTensor

const STORAGE_TYPES: Record<string, StorageType> = {
  'torch.FloatStorage': 'F32',
  'torch.HalfStorage': 'F16',
  'torch.BFloat16Storage': 'BF16',
  'torch.DoubleStorage': 'F64',
  'torch.LongStorage': 'torch.int64',
  'torch.IntStorage': 'torch.int32',
  'torch.ShortStorage': 'torch.int16',
  'torch.CharStorage': 'torch.int8',
  'torch.ByteStorage': 'torch.uint8',
  'torch.BoolStorage': 'torch.bool',
  'torch.storage.UntypedStorage': 'untyped',
}

const DTYPES: Record<string, StorageType> = {
  'torch.float32': 'F32',
  'torch.float16': 'F16',
  'torch.bfloat16': 'BF16',
  'torch.float64': 'F64',
  'torch.int64': 'torch.int64',
  'torch.int32': 'torch.int32',
  'torch.int16': 'torch.int16',
  'torch.int8': 'torch.int8',
  'torch.uint8': 'torch.uint8',
  'torch.bool': 'torch.bool',
}

/** Functions that a state dict calls, as what they would give. */
const FUNCTIONS: Record<string, (args: readonly PickleValue[], file: string) => PickleValue> = {
  'collections.OrderedDict': () => new Map(),
  'torch.Size': ([sizes]) => sizes ?? null,
  'torch._utils._rebuild_tensor': rebuildTensor,
  'torch._utils._rebuild_tensor_v2': rebuildTensor,
  'torch._utils._rebuild_tensor_v3': (args, file) => rebuildTensor(args, file, args[6]),
  'torch._utils._rebuild_parameter': ([tensor]) => tensor ?? null,
}

const isKnown = (name: string): boolean =>
  Object.hasOwn(STORAGE_TYPES, name) || Object.hasOwn(DTYPES, name) || Object.hasOwn(FUNCTIONS, name)

/** Arguments: storage, offset, sizes, strides, requires_grad, hooks; in the third version a dtype follows. */
function rebuildTensor(args: readonly PickleValue[], file: string, dtype?: PickleValue): PickledTensor {
  const [storage, offset, sizes, strides] = args
  const type = dtype instanceof Global ? DTYPES[dtype.name] : storage instanceof Storage ? storage.type : undefined
  const shape = wholeNumbers(sizes)
  const steps = wholeNumbers(strides)
  const [start] = wholeNumbers(new Tuple([offset ?? null])) ?? []
  if (!(storage instanceof Storage) || !type || !shape || !steps || start === undefined) {
    throw broken(file, 'a tensor is described wrongly')
  }
  if (shape.length !== steps.length || shape.length > 8) throw broken(file, 'a tensor has a wrong number of strides')
  return new PickledTensor(storage, type, start, shape, steps)
}

function wholeNumbers(value: PickleValue | undefined): number[] | null {
  const items = value instanceof Tuple ? value.items : Array.isArray(value) ? value : null
  if (!items?.every(item => typeof item === 'number' && Number.isSafeInteger(item) && item >= 0)) return null
  return items as number[]
}

const broken = (file: string, problem: string): EngineError =>
  new EngineError('format-invalid', `"${file}" is not a valid PyTorch checkpoint: ${problem}.`, {
    expected: 'a state dict as torch.save writes it',
    actual: problem,
    remedy: 'The file is damaged: download it again from a source you trust, as safetensors where you can.',
  })

const refused = (file: string, what: string): EngineError =>
  new EngineError('format-unsupported', `"${file}" asks for more than the weights of a model: ${what}.`, {
    expected: 'tensors only',
    actual: what,
    remedy: 'Tern ran nothing of it. Use the safetensors form of this checkpoint, from a source you trust.',
  })

const overBudget = (file: string, what: string, limit: number): EngineError =>
  new EngineError('limit-exceeded', `"${file}" is not a plausible checkpoint: its pickle has too many ${what}.`, {
    expected: `at most ${limit}`,
    actual: 'more',
    remedy: 'The file is damaged or hostile: download it again from a source you trust.',
  })

const MARK = Symbol('mark')
type StackItem = PickleValue | typeof MARK

/**
 * Reads one pickle, up to and with its STOP; the cursor stands behind it. `storages` are those it refers to, by key.
 * @throws EngineError `format-unsupported` naming what was refused, `format-invalid`, `limit-exceeded`, `file-truncated`
 */
export async function readPickle(cursor: ByteCursor): Promise<{ value: PickleValue; storages: Map<string, Storage> }> {
  const machine = new Machine(cursor)
  return { value: await machine.run(), storages: machine.storages }
}

class Machine {
  readonly storages = new Map<string, Storage>()
  readonly #cursor: ByteCursor
  readonly #file: string
  readonly #stack: StackItem[] = []
  readonly #memo = new Map<number, PickleValue>()

  constructor(cursor: ByteCursor) {
    this.#cursor = cursor
    this.#file = cursor.source.name
  }

  async run(): Promise<PickleValue> {
    const end = this.#cursor.position + LIMITS.pickleBytes
    for (let operation = 0; operation < LIMITS.operations; operation++) {
      if (this.#cursor.position > end) throw overBudget(this.#file, 'bytes', LIMITS.pickleBytes)
      await this.#need(1)
      const opcode = this.#cursor.u8()
      if (opcode === OP.STOP) return this.#pop()
      await this.#step(opcode)
      if (this.#stack.length > LIMITS.stack) throw overBudget(this.#file, 'values on its stack', LIMITS.stack)
    }
    throw overBudget(this.#file, 'operations', LIMITS.operations)
  }

  async #step(opcode: number): Promise<void> {
    const cursor = this.#cursor
    const stack = this.#stack
    switch (opcode) {
      case OP.PROTO: {
        await this.#need(1)
        const protocol = cursor.u8()
        if (protocol > 5) throw refused(this.#file, `pickle protocol ${protocol}`)
        return
      }
      case OP.FRAME:
        await this.#need(8)
        cursor.size64()
        return
      case OP.MARK:
        stack.push(MARK)
        return
      case OP.POP:
        if (stack.pop() === undefined) throw broken(this.#file, 'its pickle takes from an empty stack')
        return
      case OP.EMPTY_TUPLE:
        stack.push(new Tuple([]))
        return
      case OP.TUPLE:
        stack.push(new Tuple(this.#popToMark()))
        return
      case OP.TUPLE1:
      case OP.TUPLE2:
      case OP.TUPLE3:
        stack.push(new Tuple(this.#popMany(opcode - OP.TUPLE1 + 1)))
        return
      case OP.EMPTY_LIST:
        stack.push([])
        return
      case OP.APPEND:
        return this.#append([this.#pop()])
      case OP.APPENDS:
        return this.#append(this.#popToMark())
      case OP.EMPTY_DICT:
        stack.push(new Map())
        return
      case OP.SETITEM:
        return this.#setItems(this.#popMany(2))
      case OP.SETITEMS:
        return this.#setItems(this.#popToMark())
      case OP.BINGET:
        await this.#need(1)
        return this.#recall(cursor.u8())
      case OP.LONG_BINGET:
        await this.#need(4)
        return this.#recall(cursor.u32())
      case OP.BINPUT:
        await this.#need(1)
        return this.#remember(cursor.u8())
      case OP.LONG_BINPUT:
        await this.#need(4)
        return this.#remember(cursor.u32())
      case OP.MEMOIZE:
        return this.#remember(this.#memo.size)
      case OP.GLOBAL:
        return this.#global(await this.#line(), await this.#line())
      case OP.STACK_GLOBAL: {
        const [module, name] = this.#popMany(2)
        if (typeof module !== 'string' || typeof name !== 'string') throw broken(this.#file, 'a name is not a text')
        return this.#global(module, name)
      }
      case OP.REDUCE:
        return this.#reduce()
      case OP.BUILD:
        return this.#build()
      case OP.BINPERSID:
        stack.push(this.#storage(this.#pop()))
        return
      default: {
        const value = await this.#scalar(opcode)
        if (value === undefined) throw refused(this.#file, `pickle operation 0x${opcode.toString(16).padStart(2, '0')}`)
        stack.push(value)
      }
    }
  }

  /** The value of an operation that carries one; undefined: it carries none. */
  async #scalar(opcode: number): Promise<PickleValue | undefined> {
    const cursor = this.#cursor
    switch (opcode) {
      case OP.NONE:
        return null
      case OP.NEWTRUE:
        return true
      case OP.NEWFALSE:
        return false
      case OP.BININT:
        await this.#need(4)
        return cursor.i32()
      case OP.BININT1:
        await this.#need(1)
        return cursor.u8()
      case OP.BININT2:
        await this.#need(2)
        return cursor.u16()
      case OP.LONG1:
        await this.#need(1)
        return await this.#long(cursor.u8())
      case OP.BINFLOAT:
        await this.#need(8)
        return floatBigEndian(cursor.bytes(8))
      case OP.BINUNICODE:
      case OP.BINSTRING:
        await this.#need(4)
        return await this.#text(cursor.u32())
      case OP.SHORT_BINUNICODE:
      case OP.SHORT_BINSTRING:
        await this.#need(1)
        return await this.#text(cursor.u8())
      default:
        return undefined
    }
  }

  async #need(byteCount: number): Promise<void> {
    if (this.#cursor.available < byteCount) await this.#cursor.need(byteCount)
  }

  #pop(): PickleValue {
    const value = this.#stack.pop()
    if (value === undefined || value === MARK) throw broken(this.#file, 'its pickle takes from an empty stack')
    return value
  }

  #popMany(count: number): PickleValue[] {
    const values: PickleValue[] = []
    for (let i = 0; i < count; i++) values.unshift(this.#pop())
    return values
  }

  #popToMark(): PickleValue[] {
    const at = this.#stack.lastIndexOf(MARK)
    if (at < 0) throw broken(this.#file, 'its pickle lacks a mark')
    const values = this.#stack.splice(at).slice(1)
    return values as PickleValue[]
  }

  /** The value on top, which stays there. */
  #top(): PickleValue {
    const value = this.#pop()
    this.#stack.push(value)
    return value
  }

  async #text(byteCount: number): Promise<string> {
    if (byteCount > LIMITS.textBytes) throw overBudget(this.#file, 'bytes in a text', LIMITS.textBytes)
    await this.#need(byteCount)
    return new TextDecoder().decode(this.#cursor.bytes(byteCount))
  }

  /** Little-endian two's complement. */
  async #long(byteCount: number): Promise<number | bigint> {
    await this.#need(byteCount)
    const bytes = this.#cursor.bytes(byteCount)
    let value = 0n
    for (let i = byteCount - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!)
    if (byteCount > 0 && bytes[byteCount - 1]! >= 0x80) value -= 1n << BigInt(8 * byteCount)
    const number = Number(value)
    return Number.isSafeInteger(number) ? number : value
  }

  /** Text up to a line feed. */
  async #line(): Promise<string> {
    let line = ''
    for (;;) {
      await this.#need(1)
      const code = this.#cursor.u8()
      if (code === 0x0a) return line
      line += String.fromCharCode(code)
      if (line.length > 256) throw broken(this.#file, 'a name is too long')
    }
  }

  #append(values: PickleValue[]): void {
    const list = this.#top()
    if (!Array.isArray(list)) throw broken(this.#file, 'it appends to something that is not a list')
    for (const value of values) list.push(value)
  }

  #setItems(pairs: PickleValue[]): void {
    const dict = this.#top()
    if (!(dict instanceof Map) || pairs.length % 2 !== 0) throw broken(this.#file, 'it sets items wrongly')
    for (let i = 0; i < pairs.length; i += 2) dict.set(pairs[i]!, pairs[i + 1]!)
  }

  #recall(index: number): void {
    const value = this.#memo.get(index)
    if (value === undefined) throw broken(this.#file, 'it refers to a value that is not there')
    this.#stack.push(value)
  }

  #remember(index: number): void {
    this.#memo.set(index, this.#top())
    if (this.#memo.size > LIMITS.memo) throw overBudget(this.#file, 'remembered values', LIMITS.memo)
  }

  #global(module: string, name: string): void {
    const full = `${module}.${name}`
    if (!isKnown(full)) throw refused(this.#file, `"${full.slice(0, 256)}"`)
    this.#stack.push(new Global(full))
  }

  #reduce(): void {
    const [target, args] = this.#popMany(2)
    const call = target instanceof Global && Object.hasOwn(FUNCTIONS, target.name) ? FUNCTIONS[target.name] : undefined
    if (!call || !(args instanceof Tuple)) throw refused(this.#file, 'a call of something that is no function')
    this.#stack.push(call(args.items, this.#file))
  }

  /** The attributes of a state dict (its versions) say nothing about weights. */
  #build(): void {
    this.#pop()
    if (!(this.#top() instanceof Map)) throw refused(this.#file, 'an object with attributes')
  }

  /** ('storage', storage class, key, device, element count), in old files followed by a view, which must be None. */
  #storage(id: PickleValue): Storage {
    if (!(id instanceof Tuple) || id.items[0] !== 'storage') throw broken(this.#file, 'a storage is described wrongly')
    const [, kind, key, , elementCount, view] = id.items
    const type = kind instanceof Global ? STORAGE_TYPES[kind.name] : undefined
    const [count] = wholeNumbers(new Tuple([elementCount ?? null])) ?? []
    if (!type || typeof key !== 'string' || count === undefined)
      throw broken(this.#file, 'a storage is described wrongly')
    if (view !== undefined && view !== null) throw refused(this.#file, 'a view of a storage')
    const storage = new Storage(type, key, count)
    this.storages.set(key, storage)
    return storage
  }
}

function floatBigEndian(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getFloat64(0)
}

const OP = {
  MARK: 0x28,
  EMPTY_TUPLE: 0x29,
  STOP: 0x2e,
  POP: 0x30,
  BINFLOAT: 0x47,
  BININT: 0x4a,
  BININT1: 0x4b,
  BININT2: 0x4d,
  NONE: 0x4e,
  BINPERSID: 0x51,
  REDUCE: 0x52,
  BINSTRING: 0x54,
  SHORT_BINSTRING: 0x55,
  BINUNICODE: 0x58,
  EMPTY_LIST: 0x5d,
  APPEND: 0x61,
  BUILD: 0x62,
  GLOBAL: 0x63,
  APPENDS: 0x65,
  BINGET: 0x68,
  LONG_BINGET: 0x6a,
  BINPUT: 0x71,
  LONG_BINPUT: 0x72,
  SETITEM: 0x73,
  TUPLE: 0x74,
  SETITEMS: 0x75,
  EMPTY_DICT: 0x7d,
  PROTO: 0x80,
  TUPLE1: 0x85,
  TUPLE2: 0x86,
  TUPLE3: 0x87,
  NEWTRUE: 0x88,
  NEWFALSE: 0x89,
  LONG1: 0x8a,
  SHORT_BINUNICODE: 0x8c,
  STACK_GLOBAL: 0x93,
  MEMOIZE: 0x94,
  FRAME: 0x95,
} as const
