/** Types of build-kernels.mjs. */
export declare const KERNEL_FOLDER: string
export declare function ensureKernels(): Promise<string>
