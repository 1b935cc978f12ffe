namespace Fokker

open System

/// What a short text says, as numbers: a small transformer over its bytes (Vaswani et al. 2017, Attention is all you need, section 3), the mean of its vectors over the text.
[<RequireQualifiedAccess>]
module TextEncoder =

    /// How many numbers a text comes to.
    [<Literal>]
    let Width = 64

    /// The most bytes of a text.
    [<Literal>]
    let Most = 256

    /// A byte that is none: the text has ended.
    let ended = -1.0

    /// A text as `length` numbers: its bytes in UTF-8, and `ended` for the rest. None where it is longer.
    let bytes (length: int) (text: string) : float[] option =
        let own = Text.Encoding.UTF8.GetBytes text

        if own.Length > length then
            None
        else
            Some(Array.init length (fun k -> if k < own.Length then float own[k] else ended))

    /// The inverse of `bytes`.
    let text (numbers: float[]) : string =
        numbers |> Array.filter (fun x -> x >= 0.0) |> Array.map byte |> Text.Encoding.UTF8.GetString

    /// parameters ↦ bytes [B; length], `ended` after the text ↦ [B; Width].
    let layer (b: Blueprint) (length: int) : Layer =
        let after = 256
        let table = b.Parameter("bytes", [ after + 1; Width ], Initializer.Normal 0.5)
        let places = Embedding.places length Width
        let norm = Nn.standardize 1e-6

        let block (b: Blueprint) =
            let project = Layer.linear (b.Inside "qkv") Width (3 * Width)
            let out = Layer.linearFromZero (b.Inside "out") Width Width
            let up = Layer.linear (b.Inside "up") Width (2 * Width)
            let down = Layer.linearFromZero (b.Inside "down") (2 * Width) Width

            fun (p: Tensor[]) (x: Tensor) ->
                let all = project p (norm x)
                let part k = Tensor.narrow 2 (k * Width) Width all
                let x = x + out p (Nn.multiHead 4 (part 0) (part 1) (part 2))
                x + down p (Tensor.gelu (up p (norm x)))

        let blocks = [ for k in 1..2 -> block (b.Inside $"block{k}") ]
        let output = Layer.linear (b.Inside "output") Width Width

        fun p x ->
            let isText = Tensor.atLeast 0.0 x
            let index = Tensor.where isText x (Tensor.full x.Kind [] (float after))
            let embedded = Nn.embedding p[table] (index.To Dtype.Int64)
            let h = embedded + (Tensor.ofArray [ 1; length; Width ] places).To embedded.Kind
            let h = norm (blocks |> List.fold (fun h block -> block p h) h)
            let weight = Tensor.unsqueeze 2 (isText.To h.Dtype)
            let count = Tensor.maximum (Tensor.sumOver [ 1 ] weight) (Tensor.ones h.Kind [])
            output p (Tensor.sumOver [ 1 ] (h * weight) / count)
