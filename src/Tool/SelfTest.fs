namespace Fokker.Tool

open System
open System.Threading.Tasks
open Fokker

/// One thing that the engine has to do, and how far from right it did it.
[<NoComparison; NoEquality>]
type SelfCheck =
    {
        Name: string
        /// The largest error that counts as right.
        Within: float
        /// The error found; raises where it could not be done.
        Error: unit -> float
    }

/// `fokker doctor --selftest`: whether this machine's libtorch does what Fokker asks of it, by closed forms in .NET's own arithmetic. A table to paste where
/// nobody of Fokker's has a machine like it.
module SelfTest =

    let private kind = Kind.Float64
    let private points = [| -1.3; -0.4; 0.3; 0.7; 1.1; 1.9 |]
    let private x () = Tensor.ofArray [ 2; 3 ] points

    /// The largest difference between a tensor and numbers in row-major order.
    let private off (expected: float[]) (found: Tensor) : float =
        let found = Tensor.toFloats found

        if found.Length <> expected.Length then
            infinity
        else
            Array.map2 (fun (a: float) b -> if a = b then 0.0 else abs (a - b)) expected found
            |> Array.fold (fun m d -> if d > m || Double.IsNaN d then d else m) 0.0

    /// The largest difference between two tensors.
    let private apart (a: Tensor) (b: Tensor) : float = off (Tensor.toFloats a) b

    let private check name within error = { Name = name; Within = within; Error = error }

    /// Exact up to rounding in float64.
    let private exact name error = check name 1e-12 error

    /// A function of one number against .NET's.
    let private like name (f: Tensor -> Tensor) (g: float -> float) =
        exact name (fun () -> off (Array.map g points) (f (x ())))

    /// A matrix that is regular, and one that is positive definite too.
    let private regular () = Tensor.ofArray [ 3; 3 ] [| 4.0; 1.0; -0.5; 0.3; 3.0; 0.8; -1.0; 0.2; 5.0 |]

    let private definite () =
        let a = regular ()
        Linalg.matmul a (Tensor.transpose 0 1 a)

    let private product (a: float[]) (b: float[]) (n: int) (k: int) (m: int) =
        Array.init (n * m) (fun at ->
            let i, j = at / m, at % m
            Seq.sum (seq { for l in 0 .. k - 1 -> a[i * k + l] * b[l * m + j] }))

    let private numbers n = Array.init n (fun k -> sin (float (k + 1)))

    /// x eˣ, whose n-th derivative is (x + n) eˣ.
    let private f (x: Tensor) = x * exp x
    let private derivative (n: float) (x: float) = (x + n) * exp x
    let private ones (x: Tensor) = Tensor.onesLike x

    /// One of eight threads makes mistakes; how many did not come back with their own words.
    let private errors () =
        let wrong (thread: int) =
            Task.Run(fun () ->
                Seq.length (
                    seq {
                        for k in 1..20 do
                            let n = 100 + 20 * thread + k

                            let said =
                                Scope.run (fun () ->
                                    try
                                        Tensor.zeros kind [ n ] + Tensor.zeros kind [ 7 ] |> ignore
                                        ""
                                    with :? TensorException as e ->
                                        e.Message)

                            if not (said.Contains $"({n})") then
                                k
                    }
                ))

        float (Array.sum (Task.WhenAll(Array.init 8 wrong).Result))

    let private train () =
        let target = x ()

        let step (w: Tensor) = w - 0.1 * Diff.grad (fun w -> Tensor.sum (Tensor.square (w - target))) w

        let mutable w = Tensor.zerosLike target
        let before = Scope.live ()

        for _ in 1..200 do
            w <- Scope.next step w

        if Scope.live () <> before then infinity else apart target w

    let private convolution () =
        let image, filter = numbers 32, numbers 18

        let expected =
            Array.init 16 (fun at ->
                let i, j = at / 4, at % 4

                Seq.sum (
                    seq {
                        for c in 0..1 do
                            for a in 0..2 do
                                for b in 0..2 do
                                    let p, q = i + a - 1, j + b - 1

                                    if p >= 0 && p < 4 && q >= 0 && q < 4 then
                                        filter[9 * c + 3 * a + b] * image[16 * c + 4 * p + q]
                    }
                ))

        Nn.conv2d
            1
            1
            (Tensor.ofArray [ 1; 2; 4; 4 ] image)
            (Tensor.ofArray [ 1; 2; 3; 3 ] filter)
            (Tensor.zeros kind [ 1 ])
        |> off expected

    let all: SelfCheck list =
        [ exact "memory in and out" (fun () -> off points (x ()))
          exact "memory lent" (fun () ->
              let data = [| 1.0; 2.0; 3.0 |]
              use lent = Tensor.lend [ 3 ] data
              off data (lent * 1.0))
          exact "tensors together" (fun () ->
              let a = x ()
              off (points |> Array.map (fun p -> (p + p * p) / (p * p + 2.0) - p)) ((a + a * a) / (a * a + 2.0) - a))
          exact "numbers beside them" (fun () ->
              off
                  (points |> Array.map (fun p -> 2.0 / (p + 3.5) - (3.0 - p) * 0.5 + p / 4.0 - 1.0))
                  (2.0 / (x () + 3.5) - (3.0 - x ()) * 0.5 + x () / 4.0 - 1.0))
          exact "whole numbers" (fun () ->
              let n = Tensor.range Kind.Int64 2 6
              off [| 2.0; 3.0; 4.0; 5.0 |] (n + n - n))
          like "exp" exp Math.Exp
          like "log, sqrt" (Tensor.square >> log >> Tensor.abs >> sqrt) (fun p -> sqrt (abs (log (p * p))))
          like "sin, cos" (fun a -> sin a * cos a) (fun p -> sin p * cos p)
          like "tanh" tanh Math.Tanh
          like "powers" (fun a -> Tensor.pow a 2.0 + Tensor.pow (Tensor.abs a) 1.7) (fun p -> p * p + abs p ** 1.7)
          like "softplus" Tensor.softplus (fun p -> log (1.0 + exp p))
          like "silu" Tensor.silu (fun p -> p / (1.0 + exp -p))
          like "clamp" (Tensor.clamp -0.5 1.0) (fun p -> Math.Clamp(p, -0.5, 1.0))
          like "remainder" (Tensor.modulo 0.7) (fun p -> p - 0.7 * floor (p / 0.7))
          like "comparisons" (fun a -> (Tensor.greaterThan 0.0 a).To Dtype.Float64) (fun p ->
              if p > 0.0 then 1.0 else 0.0)
          exact "sums, means, variance" (fun () ->
              let mean = Array.average points
              let variance = Array.sumBy (fun p -> (p - mean) ** 2.0) points / 5.0

              max
                  (off [| Array.sum points |] (Tensor.sum (x ())))
                  (max
                      (off [| mean |] (Tensor.mean (x ())))
                      (off [| variance |] (Tensor.varianceOver [ 0; 1 ] 1 (x ())))))
          exact "log-sum-exp" (fun () -> off [| log (Array.sumBy exp points) |] (Tensor.logSumExp [ 0; 1 ] (x ())))
          exact "sorting and indexing" (fun () ->
              let sorted, order = Tensor.sort 0 (Tensor.flatten (-(x ())))
              max (off (points |> Array.rev |> Array.map (~-)) sorted) (off [| 5.0; 4.0; 3.0; 2.0; 1.0; 0.0 |] order))
          exact "masks" (fun () ->
              off (points |> Array.filter (fun p -> p > 0.5)) (Tensor.masked (Tensor.greaterThan 0.5 (x ())) (x ())))
          exact "padding" (fun () ->
              off [| Array.sum points |] (Tensor.sum (Nn.pad2d 2 (Tensor.reshape [ 1; 1; 2; 3 ] (x ())))))
          exact "grids" (fun () -> off [| 0.0; 0.25; 0.5; 0.75; 1.0 |] (Tensor.linspace kind 0.0 1.0 5))
          exact "matrix product" (fun () ->
              let a, b = numbers (17 * 23), numbers (23 * 11)
              off (product a b 17 23 11) (Linalg.matmul (Tensor.ofArray [ 17; 23 ] a) (Tensor.ofArray [ 23; 11 ] b)))
          exact "Einstein's sum" (fun () ->
              let a = regular ()
              apart (Linalg.matmul a a) (Linalg.einsum "ij,jk->ik" [ a; a ]))
          exact "Cholesky: L Lᵀ = A" (fun () ->
              let l = Linalg.cholesky (definite ())
              apart (definite ()) (Linalg.matmul l (Tensor.transpose 0 1 l)))
          exact "A x = b" (fun () ->
              let b = Tensor.ofArray [ 3; 1 ] [| 1.0; 2.0; 3.0 |]
              apart b (Linalg.matmul (regular ()) (Linalg.solve (regular ()) b)))
          exact "eigenvectors: V Λ Vᵀ = A" (fun () ->
              let values, vectors = Linalg.eigh (definite ())
              apart (definite ()) (Linalg.matmul (vectors * values) (Tensor.transpose 0 1 vectors)))
          exact "singular values: U S Vᵀ = A" (fun () ->
              let u, s, v = Linalg.svd (regular ())
              apart (regular ()) (Linalg.matmul (u * s) v))
          exact "log |det A|" (fun () ->
              let l = Linalg.cholesky (definite ())
              let expected = Tensor.sum (Tensor.log (Tensor.diagonal l))
              apart expected (Linalg.logAbsDet (regular ())))
          exact "convolution" convolution
          exact "group norm: mean 0, variance 1" (fun () ->
              let y =
                  Nn.groupNorm
                      1
                      0.0
                      (Tensor.ofArray [ 1; 2; 3 ] points)
                      (Tensor.ones kind [ 2 ])
                      (Tensor.zeros kind [ 2 ])

              max (off [| 0.0 |] (Tensor.mean y)) (off [| 1.0 |] (Tensor.mean (Tensor.square y))))
          exact "reverse" (fun () -> off (Array.map (derivative 1.0) points) (Diff.grad (f >> Tensor.sum) (x ())))
          exact "forward" (fun () -> off (Array.map (derivative 1.0) points) (Diff.gradv f (x ()) (ones (x ()))))
          exact "reverse over reverse" (fun () ->
              Diff.grad (Diff.grad (f >> Tensor.sum) >> Tensor.sum) (x ())
              |> off (Array.map (derivative 2.0) points))
          exact "forward over reverse" (fun () ->
              Diff.gradv (Diff.grad (f >> Tensor.sum)) (x ()) (ones (x ()))
              |> off (Array.map (derivative 2.0) points))
          exact "reverse over forward" (fun () ->
              Diff.grad (fun x -> Tensor.sum (Diff.gradv f x (ones x))) (x ())
              |> off (Array.map (derivative 2.0) points))
          exact "reverse, three deep" (fun () ->
              Diff.grad (Diff.grad (Diff.grad (f >> Tensor.sum) >> Tensor.sum) >> Tensor.sum) (x ())
              |> off (Array.map (derivative 3.0) points))
          exact "one draw for every batch" (fun () ->
              let rng = Rng.ofSeed 1L
              apart ((Rng.normal kind [ 64; 3 ] rng)[0..4]) (Rng.normal kind [ 5; 3 ] rng))
          check "mean of 2¹⁸ normals" 0.01 (fun () ->
              off [| 0.0 |] (Tensor.mean (Rng.normal kind [ 1 <<< 18 ] (Rng.ofSeed 1L))))
          exact "cheapest matching" (fun () ->
              let cost = Tensor.ofArray [ 3; 3 ] [| 9.0; 1.0; 9.0; 9.0; 9.0; 1.0; 1.0; 9.0; 9.0 |]
              off [| 1.0; 2.0; 0.0 |] (Assignment.solve cost).Columns)
          check "200 steps of descent, nothing left" 1e-12 train
          check "errors of 8 threads, own words" 0.0 errors ]

    /// Runs them all: each name with the error found, or what was said where there is none, and whether that is right.
    let run () : (string * Result<float, string> * bool) list =
        [ for check in all ->
              try
                  let error = Scope.run check.Error
                  check.Name, Ok error, error <= check.Within
              with e ->
                  check.Name, Error(e.Message.Split('\n')[0]), false ]
