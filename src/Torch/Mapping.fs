namespace Fokker

open System
open System.IO
open System.IO.MemoryMappedFiles

#nowarn "9" // the view's own pointer

/// What keeps a mapped file's bytes where they are.
[<Sealed>]
type private MappedBytes(stream: FileStream, offset: int64, bytes: int64) =
    // To be read alone, as tensors are. A private copy, which could be written to, would be counted against the memory as a whole, and a file that is larger would be refused.
    let file =
        MemoryMappedFile.CreateFromFile(stream, null, 0L, MemoryMappedFileAccess.Read, HandleInheritability.None, false)

    let view = file.CreateViewAccessor(offset, bytes, MemoryMappedFileAccess.Read)
    let mutable start: nativeptr<byte> = NativeInterop.NativePtr.nullPtr
    do view.SafeMemoryMappedViewHandle.AcquirePointer &start

    member _.Start = NativeInterop.NativePtr.toNativeInt start + nativeint view.PointerOffset

    interface IDisposable with
        member _.Dispose() =
            view.SafeMemoryMappedViewHandle.ReleasePointer()
            view.Dispose()
            file.Dispose()

/// Files as tensors that the system reads where they are looked at, and drops again where memory is wanted for something else.
[<RequireQualifiedAccess>]
module internal Mapping =

    /// How many bytes of samples are held in memory at the most; more are left where they lie. FOKKER_DATA_MB, in MiB; a quarter of the memory unless it says otherwise.
    let limit () : int64 =
        match Int64.TryParse(Environment.GetEnvironmentVariable "FOKKER_DATA_MB") with
        | true, mebibytes when mebibytes >= 0L -> mebibytes <<< 20
        | _ -> GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 4L

    /// Whether a tensor takes more than that.
    let isLarge (t: Tensor) : bool = t.Count * int64 (Dtype.size t.Dtype) > limit ()

    /// The elements of a file from an offset on. The file must stay as long as it is while the tensor lives.
    let tensor (path: string) (dtype: Dtype) (shape: int64[]) (offset: int64) : Tensor =
        let bytes = (Array.fold (*) 1L shape) * int64 (Dtype.size dtype)
        let refused (reason: string) = raise (UserError $"{path}: cannot be mapped into memory ({reason})")

        let mapped =
            try
                let stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read)
                new MappedBytes(stream, offset, bytes)
            with
            | :? IOException as e -> refused e.Message
            | :? UnauthorizedAccessException -> refused "permission denied"

        Exchange.lendForeign dtype shape mapped.Start bytes mapped
