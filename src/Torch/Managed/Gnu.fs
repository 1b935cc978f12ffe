namespace Fokker

open System.Runtime.InteropServices

/// `struct mallinfo2` of GNU's malloc.
[<Struct; StructLayout(LayoutKind.Sequential)>]
type internal MallocInfo =
    { Arena: unativeint
      OrdinaryBlocks: unativeint
      FastBlocks: unativeint
      MappedBlocks: unativeint
      MappedBytes: unativeint
      Unused: unativeint
      FastFree: unativeint
      OrdinaryUsed: unativeint
      OrdinaryFree: unativeint
      TopFree: unativeint }

/// GNU's malloc: what it holds, and what it keeps of what it was given back.
module internal Gnu =

    [<DllImport("libc.so.6")>]
    extern int private mallopt(int parameter, int value)

    [<DllImport("libc.so.6")>]
    extern MallocInfo private mallinfo2()

    [<DllImport("libc.so.6")>]
    extern int private malloc_trim(unativeint pad)

    /// Keeps up to so many bytes that were given back, of blocks of any size.
    let keep (bytes: int64) : unit =
        let trimThreshold, mapThreshold = -1, -3
        mallopt (mapThreshold, 1 <<< 30) |> ignore
        mallopt (trimThreshold, int bytes) |> ignore

    /// Bytes that were asked for and not given back.
    let inUse () : int64 =
        let info = mallinfo2 ()
        int64 info.OrdinaryUsed + int64 info.MappedBytes

    /// Bytes that wait for reuse.
    let kept () : int64 = int64 (mallinfo2 ()).OrdinaryFree

    let trim () : unit = malloc_trim 0un |> ignore
