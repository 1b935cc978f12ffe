namespace Fokker

open System
open System.Collections.Generic

/// A block that was computed without its graph: what it was computed from, and its value, which what comes after it depends on as on a leaf.
type private ComputedBlock = { Block: Tensor[] -> Tensor; Inputs: Tensor[]; Output: Tensor }

/// The blocks of the derivative under way on this thread; null where none is to be computed again.
[<AbstractClass; Sealed>]
type private ComputedBlocks() =
    [<ThreadStatic; DefaultValue>]
    static val mutable private current: List<ComputedBlock> | null

    static member Current = ComputedBlocks.current

    static member Collecting(blocks: List<ComputedBlock>, f: unit -> 'T) : 'T =
        let before = ComputedBlocks.current
        ComputedBlocks.current <- blocks

        try
            f ()
        finally
            ComputedBlocks.current <- before

/// Gradients whose graph is never there as a whole: a network's blocks are computed once without it, and once more, one block at a time, when the backward pass comes to them
/// (Chen, Xu, Zhang, Guestrin 2016, Training deep nets with sublinear memory cost). What is kept of a block is its value instead of all that is inside.
[<RequireQualifiedAccess>]
module Recomputation =

    /// Whether a block would be computed again now.
    let internal isUnderWay () : bool =
        not (isNull ComputedBlocks.Current) && Nesting.Reverse = 1 && not Nesting.Forward

    /// f(xs), where a `valueAndGrads` of this module may compute f again: it gives the same for the same inputs, and depends on nothing that is differentiated but these. Anywhere else, and inside
    /// a further derivative, it is f.
    let block (f: Tensor[] -> Tensor) (xs: Tensor[]) : Tensor =
        match ComputedBlocks.Current with
        | null -> f xs
        | _ when not (isUnderWay ()) || not (Array.exists Diff.onGraph xs) -> f xs
        | blocks ->
            let value = Scope.run (fun () -> f (Array.map Tensor.detach xs))
            let output = Diff.leaf value
            blocks.Add { Block = f; Inputs = xs; Output = output }
            output

    /// A scalar whose derivative with regard to each of these tensors is the one given.
    let private pairing (tensors: (Tensor * Tensor) list) : Tensor =
        tensors |> List.map (fun (x, v) -> Tensor.sum (x * v)) |> List.reduce (+)

    /// `Diff.valueAndGrads`: the same numbers up to their rounding, for about a third more time. Raises UserError where f has no blocks, or has them inside of further derivatives alone.
    let valueAndGrads (f: Tensor[] -> Tensor * 'A) (xs: Tensor[]) : Tensor * Tensor[] * 'A =
        if Nesting.Reverse > 0 || Nesting.Forward then
            Diff.valueAndGrads f xs
        else
            Diff.reversing (fun () ->
                let leaves = xs |> Array.map Diff.leaf
                let blocks = List<ComputedBlock>()
                let y, aux = ComputedBlocks.Collecting(blocks, (fun () -> f leaves))
                Diff.requireScalar "grad" y

                if blocks.Count = 0 then
                    raise (
                        UserError
                            "nothing can be computed again in the backward pass: the network is not made of blocks, or the loss takes a derivative of all of them: leave it out"
                    )

                let all = Array.append leaves [| for block in blocks -> block.Output |]
                let places = Dictionary<Tensor, int>(HashIdentity.Reference)
                all |> Array.iteri (fun k t -> places[t] <- k)
                // ∂y/∂ each of them, as far as it is known.
                let sums: Tensor option[] = Array.create all.Length None

                let add (k: int) (derivative: Tensor) =
                    match sums[k] with
                    | None -> sums[k] <- Some derivative
                    | Some before ->
                        sums[k] <- Some(before + derivative)
                        Scope.free (before, derivative)

                /// Adds the derivative of a root with regard to the parameters and the first so many blocks. What comes before the blocks, the embedding of the time, is on the way of all of them.
                let pull (earlier: int) (root: unit -> Tensor) =
                    let before = Array.truncate (leaves.Length + earlier) all
                    let found = Scope.run (fun () -> Diff.pullbackWhere (root ()) before null true)
                    found |> Array.iteri (fun k derivative -> Option.iter (add k) derivative)

                pull blocks.Count (fun () -> y)

                // No block depends on one that comes after it.
                for k in blocks.Count - 1 .. -1 .. 0 do
                    let block = blocks[k]
                    let place = leaves.Length + k

                    match sums[place] with
                    | None -> ()
                    | Some derivative ->
                        let tracked = block.Inputs |> Array.filter Diff.onGraph

                        let derivatives =
                            Scope.run (fun () ->
                                let inputs =
                                    block.Inputs |> Array.map (fun x -> if Diff.onGraph x then Diff.leaf x else x)
                                let own = Array.zip block.Inputs inputs |> Array.filter (fst >> Diff.onGraph)
                                Diff.pullbackWhere (block.Block inputs) (Array.map snd own) derivative false)

                        let found =
                            [ for x, v in Array.zip tracked derivatives do
                                  match v with
                                  | Some v -> x, v
                                  | None -> () ]

                        let ends, between = found |> List.partition (fst >> places.ContainsKey)

                        for x, v in ends do
                            add places[x] v

                        if not between.IsEmpty then
                            pull k (fun () -> pairing between)
                            Scope.free (List.map snd between)

                        sums[place] <- None
                        Scope.free (derivative, block.Output)

                let gradients =
                    Array.mapi (fun k (x: Tensor) -> sums[k] |> Option.defaultWith (fun () -> Tensor.zerosLike x)) xs

                y, gradients, aux)
