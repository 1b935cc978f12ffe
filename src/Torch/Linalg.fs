namespace Fokker

/// Linear algebra on the last two dimensions; leading ones are a batch.
[<RequireQualifiedAccess>]
module Linalg =

    open Ops

    let private matmulOp = op "matmul"
    let private einsumOp = op "einsum"
    let private choleskyOp = op "linalg_cholesky"
    let private solveTriangularOp = op "linalg_solve_triangular"
    let private solveOp = op "linalg_solve"
    let private invOp = op "linalg_inv"
    let private slogdetOp = op "linalg_slogdet"
    let private eighOp = op "linalg_eigh"
    let private svdOp = op "linalg_svd"
    let private qrOp = op "linalg_qr"
    let private cdistOp = op "cdist"
    let private traceOp = op "trace"

    /// The matrix product: […; n; k] with […; k; m], vectors as numpy has them.
    let matmul (a: Tensor) (b: Tensor) = binary matmulOp a b

    /// Einstein's summation, for instance `einsum "bij,bj->bi" [a; x]`.
    let einsum (equation: string) (xs: seq<Tensor>) =
        Door.one einsumOp [| Arg.string equation; Arg.tensors (Seq.toArray xs) |]

    /// Lower triangular L with L Lᵀ = a. Raises TensorException where `a` is not positive definite.
    let cholesky (a: Tensor) = unary choleskyOp a

    /// x with a x = b, `a` triangular.
    let solveTriangular (upper: bool) (a: Tensor) (b: Tensor) =
        Door.one solveTriangularOp [| Arg.tensor a; Arg.tensor b; Arg.bool upper |]

    let inv (a: Tensor) = unary invOp a

    // libtorch's forward rules of solve and slogdet treat the factors they reuse as constants, so that a backward pass
    // through them is silently wrong or fails (1.13 and 2.6); the two compositions below nest.

    /// x with a x = b.
    let solve (a: Tensor) (b: Tensor) =
        let isVector = b.Rank = 1 || (b.Rank = a.Rank - 1 && b.Shape = a.Shape[.. a.Rank - 2])

        if not Nesting.Mixed then Door.one solveOp [| Arg.tensor a; Arg.tensor b |]
        elif isVector then matmul (inv a) (Tensor.unsqueeze -1 b) |> Tensor.squeeze -1
        else matmul (inv a) b

    /// q, r with a = q r.
    let qr (a: Tensor) =
        let r = Door.many qrOp [| Arg.tensor a |]
        r[0], r[1]

    /// log |det a|.
    let logAbsDet (a: Tensor) =
        if Nesting.Mixed then
            Tensor.diagonal (snd (qr a)) |> Tensor.abs |> Tensor.log |> Tensor.sumOver [ -1 ]
        else
            (Door.many slogdetOp [| Arg.tensor a |])[1]

    /// Eigenvalues (ascending) and eigenvectors (columns) of a symmetric matrix. The eigenvectors' second derivative by
    /// reverse over forward is NaN (libtorch 1.13 and 2.6); the other nestings are right.
    let eigh (a: Tensor) =
        let r = Door.many eighOp [| Arg.tensor a |]
        r[0], r[1]

    /// u, s, vᵀ with a = u diag(s) vᵀ.
    let svd (a: Tensor) =
        let r = Door.many svdOp [| Arg.tensor a; Arg.bool false |]
        r[0], r[1], r[2]

    /// Euclidean distances between the rows of a [n; d] and b [m; d]: [n; m].
    let distances (a: Tensor) (b: Tensor) =
        if Nesting.Forward || Nesting.Reverse > 1 then
            // libtorch's own has a backward pass and nothing beyond it. Between equal rows the derivative counts as zero.
            let squares = Tensor.sumOver [ -1 ] (Tensor.square (Tensor.unsqueeze -2 a - Tensor.unsqueeze -3 b))
            let apart = Tensor.greaterThan 0.0 squares
            Tensor.where
                apart
                (Tensor.sqrt (Tensor.where apart squares (Tensor.onesLike squares)))
                (Tensor.zerosLike squares)
        else
            binary cdistOp a b

    let trace (a: Tensor) = unary traceOp a

    /// The symmetric square root of a positive semi-definite matrix; eigenvalues below zero by rounding count as zero.
    let sqrtPsd (a: Tensor) =
        let values, vectors = eigh a
        let roots = values |> Tensor.clamp 0.0 infinity |> Tensor.sqrt
        matmul (vectors * Tensor.unsqueeze -2 roots) (Tensor.transpose -2 -1 vectors)
