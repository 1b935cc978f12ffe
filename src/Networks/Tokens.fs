namespace Fokker

/// What every coordinate starts as at the noisy end of a discrete flow.
[<RequireQualifiedAccess>]
type TokenSource =
    /// One state more, which no data have.
    | Mask
    /// Any of the tokens, all alike.
    | Uniform

/// K tokens for each coordinate: the K values evenly from −bound to bound, in the network's units, both included. Pixels from −1 to 1 are two tokens by their sign, bytes
/// that are laid from −1 to 1 are 256 as they are, and coordinates of vectors fall on the nearest value of a fine grid.
type Tokens = { Count: int; Bound: float; Source: TokenSource }

[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module Tokens =

    /// Between the values of neighbouring tokens.
    let spacing (tokens: Tokens) : float = 2.0 * tokens.Bound / float (tokens.Count - 1)

    /// The states of a coordinate: the tokens, and the mask as the last where that is the source.
    let states (tokens: Tokens) : int =
        match tokens.Source with
        | TokenSource.Mask -> tokens.Count + 1
        | TokenSource.Uniform -> tokens.Count

    /// The tokens nearest to values [B; …], int64; of data, which have no masks.
    let ofData (tokens: Tokens) (x: Tensor) : Tensor =
        (Tensor.clamp 0.0 (float (tokens.Count - 1)) (Tensor.round ((x + tokens.Bound) / spacing tokens))).To
            Dtype.Int64

    /// States of coordinates as values that a network is told: tokens as they lie, the mask well apart from them.
    let values (tokens: Tokens) (kind: Kind) (states: Tensor) : Tensor =
        let lying = states.To kind * spacing tokens - tokens.Bound
        let isMask = Tensor.greaterThan (float tokens.Count - 0.5) states
        Tensor.where isMask (Tensor.full kind [] (2.0 * tokens.Bound)) lying

    /// The inverse of `values`.
    let ofValues (tokens: Tokens) (x: Tensor) : Tensor =
        let mask = (Tensor.full x.Kind [] (float tokens.Count)).To Dtype.Int64
        let own = ofData tokens x

        match tokens.Source with
        | TokenSource.Mask -> Tensor.where (Tensor.greaterThan (1.5 * tokens.Bound) x) mask own
        | TokenSource.Uniform -> own
