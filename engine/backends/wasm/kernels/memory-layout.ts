/**
 * Where things lie in the shared memory, in bytes. Read by the kernels (AssemblyScript) and by the code that fills
 * the memory (TypeScript), so it holds nothing but plain constants, valid in both.
 */

// Header: words that threads wait on have a cache line of their own.
export const BARRIER_ARRIVED = 192
export const BARRIER_GENERATION = 256
/** Threads asleep on BARRIER_GENERATION. */
export const BARRIER_SLEEPERS = 320
/** 0 while all is well, else one of FAILURE_*; never goes back to 0. */
export const FAILURE = 384
/** Threads that run the command. */
export const THREAD_COUNT = 448
/** Half seconds that a thread waits for the others at a barrier before it gives up. */
export const BARRIER_PATIENCE = 452
/** Lanes in which the relaxed kernels sum products, one of LANES_*. */
export const LANES = 456
export const LANES_INT32 = 0
export const LANES_INT16 = 1

export const FAILURE_TRAP = 1
export const FAILURE_TIMEOUT = 2

/** Sixteen bytes each; loaded inside loops, where a constant would be rebuilt by the compiler of the host. */
export const MASK_CODE_0 = 512
export const MASK_CODE_1 = 528
/** The same in the low byte of every 16-bit lane only. */
export const MASK_CODE_0_16 = 544
export const MASK_CODE_1_16 = 560

// The command that all threads run together.
export const COMMAND = 576
/** COMMAND_KIND's values. */
export const COMMAND_EXIT = 0
export const COMMAND_DECODE = 1
export const COMMAND_PREFILL = 2
export const COMMAND_READ_MEMORY = 3
export const COMMAND_GEMV_ONLY = 4
export const COMMAND_GEMM_ONLY = 5
/** Decode: the token. Prefill: the number of tokens in the chunk. Read: the number of passes. */
export const COMMAND_COUNT = 580
/** Address of the recurrent state, for decode. */
export const COMMAND_STATE = 584
/** Prefill: which tokens get logits, one of LOGITS_*. */
export const COMMAND_LOGITS = 588
export const LOGITS_NONE = 0
export const LOGITS_LAST = 1
export const LOGITS_ALL = 2
/** Read: first byte and number of bytes. */
export const COMMAND_ADDRESS = 592
export const COMMAND_BYTES = 596

// The model.
export const MODEL_HIDDEN = 640
export const MODEL_STATE_WIDTH = 644
export const MODEL_INTERMEDIATE = 648
export const MODEL_VOCABULARY = 652
export const MODEL_LAYERS = 656
/** Address of the first layer's record. */
export const MODEL_LAYER_RECORDS = 664
export const MODEL_EMBEDDING = 668
export const MODEL_EMBEDDING_ROW_BYTES = 672
/** One of EMBEDDING_*. */
export const MODEL_EMBEDDING_TYPE = 676
export const MODEL_OUTPUT_NORM = 680
export const MODEL_OUTPUT_IN_NORM = 684
export const MODEL_OUTPUT_WEIGHT = 688
/** float32 */
export const MODEL_OUTPUT_SCALE = 692
/** float64 */
export const MODEL_EPSILON = 696

export const EMBEDDING_F32 = 0
export const EMBEDDING_F16 = 1
export const EMBEDDING_BF16 = 2
export const EMBEDDING_Q8_0 = 3

// Scratch, shared by all threads; each buffer holds a row a token, rows padded to 16 values.
/** Tokens that fit in a chunk. */
export const SCRATCH_TOKENS = 704
/** i32 [T] token ids. */
export const SCRATCH_TOKEN_IDS = 708
/** i32 [T] address of each token's recurrent state. */
export const SCRATCH_TOKEN_STATES = 712
/** f32 [T, D] the hidden state between blocks. */
export const SCRATCH_HIDDEN = 716
/** i32, then f32 [T, E] each: outputs of BitLinear i, f and g. */
export const SCRATCH_I = 720
export const SCRATCH_F = 724
export const SCRATCH_G = 728
/** i32, then f32 [T, I] each. */
export const SCRATCH_GATE = 732
export const SCRATCH_UP = 736
/** i32, then f32 [T, D]: output of o and down before the residual is added. */
export const SCRATCH_PROJECTED = 740
/** i32, then f32 [T or 1, V] */
export const SCRATCH_LOGITS = 744
/** Three quantised inputs: int8 [T, K], K the widest input padded to 16. */
export const SCRATCH_Q0 = 748
export const SCRATCH_Q1 = 752
export const SCRATCH_Q2 = 756
/** Bytes of a row of the three. */
export const SCRATCH_Q_ROW_BYTES = 760
/** [T] records of 8 bytes for each of the three: float32 scale s, i32 sum of q. */
export const SCRATCH_QMETA0 = 764
export const SCRATCH_QMETA1 = 768
export const SCRATCH_QMETA2 = 772
/** First thread's private buffers, and the distance to the next thread's. */
export const SCRATCH_PRIVATE = 776
export const SCRATCH_PRIVATE_BYTES = 780

// Private buffers of a thread, as offsets in units of SCRATCH_Q_ROW_BYTES: two float32 rows, three int8 rows, metadata.
export const PRIVATE_NORMALISED = 0
export const PRIVATE_SCALED = 4
export const PRIVATE_Q0 = 8
export const PRIVATE_Q1 = 9
export const PRIVATE_Q2 = 10
/** Three records of float32 scale and i32 sum, 64 bytes in all. */
export const PRIVATE_META = 11

/** Thirteen vectors of exp.ts. */
export const EXP_CONSTANTS = 832

/**
 * A cache line for each thread: a word that counts its commands and that it waits on, and whether it sleeps there. A thread
 * that has no part in a command is not woken.
 */
export const THREAD_LINES = 1088
export const THREAD_LINE_BYTES = 64
export const THREAD_GENERATION = 0
export const THREAD_SLEEPS = 4
export const MAX_THREADS = 64

/** Everything above lies below this address. */
export const HEADER_BYTES = THREAD_LINES + MAX_THREADS * THREAD_LINE_BYTES

// A layer's record: addresses and float32 scales.
export const LAYER_MLGRU_NORM = 0
export const LAYER_I_IN_NORM = 4
export const LAYER_F_IN_NORM = 8
export const LAYER_G_IN_NORM = 12
export const LAYER_OUT_NORM = 16
export const LAYER_O_IN_NORM = 20
export const LAYER_GLU_NORM = 24
export const LAYER_GATE_UP_IN_NORM = 28
export const LAYER_DOWN_IN_NORM = 32
/** 0 where the layer has no lower bound. */
export const LAYER_LOWER_BOUND = 36
export const LAYER_I_WEIGHT = 40
export const LAYER_F_WEIGHT = 44
export const LAYER_G_WEIGHT = 48
export const LAYER_O_WEIGHT = 52
export const LAYER_GATE_WEIGHT = 56
export const LAYER_UP_WEIGHT = 60
export const LAYER_DOWN_WEIGHT = 64
export const LAYER_I_SCALE = 68
export const LAYER_F_SCALE = 72
export const LAYER_G_SCALE = 76
export const LAYER_O_SCALE = 80
export const LAYER_GATE_UP_SCALE = 84
export const LAYER_DOWN_SCALE = 88
export const LAYER_RECORD_BYTES = 128
