/// Every differentiable operator of the library, once: what the derivative tests, and nothing else, iterate over.
module Fokker.Tests.Torch.Operators

open Fokker

type Operator =
    {
        /// `Module.function`, with a remark where one function stands here more than once.
        Name: string
        Apply: Tensor[] -> Tensor
        /// A random point of the operator's domain, away from its kinks.
        Point: Rng -> Tensor[]
        /// Whether a forward derivative can be differentiated in reverse.
        ReverseOverForward: bool
    }

let private kind = Kind.Float64

let private within (low: float) (high: float) (shape: int list) (rng: Rng) =
    low + (high - low) * Rng.uniform kind shape rng

let private normals (shapes: int list list) (rng: Rng) =
    [| for k, shape in List.indexed shapes -> Rng.normal kind shape (Rng.at (int64 k) rng) |]

/// Numbers whose magnitude is in [0.2, 1.5], of both signs: away from a kink at 0.
let private awayFromZero shape (rng: Rng) =
    Rng.rademacherLike (Tensor.zeros kind shape) (Rng.named "sign" rng) * within 0.2 1.5 shape rng

/// All differences between elements are at least 0.1: no ties for maxima and sorting.
let private distinct (shape: int list) (rng: Rng) =
    let n = List.fold (*) 1 shape

    ((Rng.permutation n rng).To Dtype.Float64 * 0.3 + within 0.0 0.2 [ n ] (Rng.named "jitter" rng))
    |> Tensor.reshape shape

/// Symmetric positive definite, eigenvalues from about 1 to 10.
let private positiveDefinite n (rng: Rng) =
    let a = Rng.normal kind [ n; n ] rng
    Linalg.matmul a (Tensor.transpose 0 1 a) + Tensor.eye kind n

// Where only symmetric matrices are allowed, differences must be taken among them.
let private symmetric (a: Tensor) = (a + Tensor.transpose 0 1 a) / 2.0

/// n × n with singular values away from zero.
let private regular n (rng: Rng) = Rng.normal kind [ n; n ] rng + 4.0 * Tensor.eye kind n

let private unary name f low high =
    { Name = name
      Apply = fun xs -> f xs[0]
      Point = fun rng -> [| within low high [ 2; 3 ] rng |]
      ReverseOverForward = true }

let private binary name f =
    { Name = name
      Apply = fun xs -> f xs[0] xs[1]
      // The second broadcasts, and is positive for division and powers.
      Point = fun rng -> [| within 0.5 2.0 [ 2; 3 ] (Rng.at 0L rng); within 0.5 2.0 [ 3 ] (Rng.at 1L rng) |]
      ReverseOverForward = true }

let private of1 name f shape =
    { Name = name
      Apply = fun xs -> f xs[0]
      Point = normals [ shape ]
      ReverseOverForward = true }

let private on name f point = { Name = name; Apply = f; Point = point; ReverseOverForward = true }

/// libtorch gives NaN (1.13 and 2.6).
let private notReverseOverForward operator = { operator with ReverseOverForward = false }

let private labels = Tensor.ofArray [ 3 ] [| 2L; 0L; 1L |]
let private mask = Tensor.ofArray [ 2; 3 ] [| true; false; true; true; false; false |]

let private elementwise =
    [ unary "Tensor.exp" Tensor.exp -2.0 2.0
      unary "Tensor.expm1" Tensor.expm1 -2.0 2.0
      unary "Tensor.log" Tensor.log 0.2 3.0
      unary "Tensor.log1p" Tensor.log1p -0.7 3.0
      unary "Tensor.sqrt" Tensor.sqrt 0.2 3.0
      unary "Tensor.rsqrt" Tensor.rsqrt 0.2 3.0
      unary "Tensor.square" Tensor.square -2.0 2.0
      unary "Tensor.sin" Tensor.sin -3.0 3.0
      unary "Tensor.cos" Tensor.cos -3.0 3.0
      unary "Tensor.tanh" Tensor.tanh -2.0 2.0
      unary "Tensor.neg" Tensor.neg -2.0 2.0
      unary "Tensor.sigmoid" Tensor.sigmoid -3.0 3.0
      unary "Tensor.logSigmoid" Tensor.logSigmoid -3.0 3.0
      unary "Tensor.softplus" Tensor.softplus -3.0 3.0
      unary "Tensor.silu" Tensor.silu -3.0 3.0
      unary "Tensor.gelu" Tensor.gelu -3.0 3.0
      unary "Tensor.erf" Tensor.erf -2.0 2.0
      unary "Tensor.erfinv" Tensor.erfinv -0.8 0.8
      unary "Tensor.pow, cube" (fun x -> Tensor.pow x 3.0) -2.0 2.0
      unary "Tensor.pow, root" (fun x -> Tensor.pow x -0.7) 0.3 2.0
      unary "Tensor.modulo" (Tensor.modulo 10.0) 0.5 9.5
      unary "tan" tan -1.0 1.0
      unary "sinh" sinh -2.0 2.0
      unary "cosh" cosh -2.0 2.0
      unary "asin" asin -0.8 0.8
      unary "acos" acos -0.8 0.8
      unary "atan" atan -2.0 2.0
      unary "log10" log10 0.2 3.0
      { unary "Tensor.abs" Tensor.abs 0.0 1.0 with Point = fun rng -> [| awayFromZero [ 2; 3 ] rng |] }
      { unary "Tensor.selu" Tensor.selu 0.0 1.0 with Point = fun rng -> [| awayFromZero [ 2; 3 ] rng |] }
      { unary "Tensor.relu" Tensor.relu 0.0 1.0 with Point = fun rng -> [| awayFromZero [ 2; 3 ] rng |] }
      { unary "Tensor.clamp" (Tensor.clamp -0.1 10.0) 0.0 1.0 with
          Point = fun rng -> [| awayFromZero [ 2; 3 ] rng |] }
      binary "+" (+)
      binary "-" (-)
      binary "*" (*)
      binary "/" (/)
      binary "**" (fun a b -> a ** b)
      binary "atan2" (fun a b -> atan2 a b)
      binary "scalars" (fun a b -> 2.0 / (a + 1.5) - (3.0 - a) * 0.5 + b / 4.0 - 1.0 + 2.0 * b)
      on "Tensor.minimum" (fun xs -> Tensor.minimum xs[0] xs[1]) (fun rng ->
          let x = distinct [ 2; 6 ] rng in [| x[0]; x[1] |])
      on "Tensor.maximum" (fun xs -> Tensor.maximum xs[0] xs[1]) (fun rng ->
          let x = distinct [ 2; 6 ] rng in [| x[0]; x[1] |])
      on "Tensor.lerp" (fun xs -> Tensor.lerp xs[0] xs[1] xs[2]) (normals [ [ 2; 3 ]; [ 2; 3 ]; [ 2; 3 ] ])
      on "Tensor.addScaled" (fun xs -> Tensor.addScaled -1.7 xs[0] xs[1]) (normals [ [ 2; 3 ]; [ 2; 3 ] ])
      on "Tensor.where" (fun xs -> Tensor.where mask xs[0] xs[1]) (normals [ [ 2; 3 ]; [ 2; 3 ] ]) ]

let private reductions =
    [ of1 "Tensor.sum" Tensor.sum [ 2; 3 ]
      of1 "Tensor.mean" Tensor.mean [ 2; 3 ]
      of1 "Tensor.prod" Tensor.prod [ 2; 3 ]
      of1 "Tensor.sumOver" (Tensor.sumOver [ 0; 2 ]) [ 2; 3; 2 ]
      of1 "Tensor.meanOver" (Tensor.meanOver [ 1 ]) [ 2; 3; 2 ]
      of1 "Tensor.sumKeep" (Tensor.sumKeep [ 0; 2 ]) [ 2; 3; 2 ]
      of1 "Tensor.meanKeep" (Tensor.meanKeep [ 1 ]) [ 2; 3; 2 ]
      of1 "Tensor.sumRows" Tensor.sumRows [ 2; 3; 2 ]
      of1 "Tensor.meanRows" Tensor.meanRows [ 2; 3; 2 ]
      of1 "Tensor.logSumExp" (Tensor.logSumExp [ -1 ]) [ 2; 3 ]
      of1 "Tensor.logSumExpKeep" (Tensor.logSumExpKeep [ 0; 1 ]) [ 2; 3 ]
      of1 "Tensor.varianceOver" (Tensor.varianceOver [ 1 ] 1) [ 2; 4 ]
      of1 "Tensor.cumsum" (Tensor.cumsum 1) [ 2; 3 ]
      on "Tensor.maxOver" (fun xs -> Tensor.maxOver [ 1 ] xs[0]) (fun rng -> [| distinct [ 2; 3 ] rng |])
      on "Tensor.minOver" (fun xs -> Tensor.minOver [ 1 ] xs[0]) (fun rng -> [| distinct [ 2; 3 ] rng |])
      on "Tensor.maxKeep" (fun xs -> Tensor.maxKeep [ 1 ] xs[0]) (fun rng -> [| distinct [ 2; 3 ] rng |])
      on "Tensor.max" (fun xs -> Tensor.max xs[0]) (fun rng -> [| distinct [ 2; 3 ] rng |])
      on "Tensor.min" (fun xs -> Tensor.min xs[0]) (fun rng -> [| distinct [ 2; 3 ] rng |])
      on "Tensor.sort" (fun xs -> fst (Tensor.sort 1 xs[0])) (fun rng -> [| distinct [ 2; 4 ] rng |])
      on "Tensor.kthLowest" (fun xs -> Tensor.kthLowest 3 1 xs[0]) (fun rng -> [| distinct [ 2; 4 ] rng |]) ]

/// Followed by a square: a shape alone is linear, and its second derivative would say nothing.
let private shapes =
    [ of1 "Tensor.reshape" (Tensor.reshape [ 3; 2 ] >> Tensor.square) [ 2; 3 ]
      of1 "Tensor.flatten" (Tensor.flatten >> Tensor.square) [ 2; 3 ]
      of1 "Tensor.flattenRows" (Tensor.flattenRows >> Tensor.square) [ 2; 3; 2 ]
      of1 "Tensor.permute" (Tensor.permute [ 2; 0; 1 ] >> Tensor.square) [ 2; 3; 2 ]
      of1 "Tensor.transpose" (Tensor.transpose 0 1 >> Tensor.square) [ 2; 3 ]
      of1 "Tensor.expand" (Tensor.expand [ 4; 2; 3 ] >> Tensor.square) [ 2; 1 ]
      of1 "Tensor.unsqueeze" (Tensor.unsqueeze 1 >> Tensor.square) [ 2; 3 ]
      of1 "Tensor.squeeze" (Tensor.squeeze 1 >> Tensor.square) [ 2; 1 ]
      on "Tensor.cat" (fun xs -> Tensor.square (Tensor.cat 1 xs)) (normals [ [ 2; 3 ]; [ 2; 1 ] ])
      on "Tensor.stack" (fun xs -> Tensor.square (Tensor.stack 1 xs)) (normals [ [ 2; 3 ]; [ 2; 3 ] ])
      of1 "Tensor.split" (fun x -> let p = Tensor.split 2 1 x in p[0] * p[1]) [ 2; 4 ]
      of1 "Tensor.chunk" (fun x -> let p = Tensor.chunk 2 1 x in p[0] * p[1]) [ 2; 4 ]
      of1 "Tensor.unbind" (fun x -> let p = Tensor.unbind 0 x in p[0] * p[1]) [ 2; 4 ]
      of1 "Tensor.narrow" (Tensor.narrow 1 1 2 >> Tensor.square) [ 2; 4 ]
      of1 "Tensor.select" (Tensor.select 1 2 >> Tensor.square) [ 2; 4 ]
      of1 "slices" (fun x -> x[0..1, 1..2] * x[1..2, 2..3] * x[0, 0..1] + x[2, 0] * x[1, 1]) [ 3; 4 ]
      of1 "Tensor.indexSelect" (Tensor.indexSelect 0 labels >> Tensor.square) [ 3; 4 ]
      of1 "Tensor.gather" (Tensor.gather 1 (Tensor.unsqueeze 1 labels) >> Tensor.square) [ 3; 4 ]
      of1 "Tensor.masked" (Tensor.masked mask >> Tensor.square) [ 2; 3 ]
      of1 "Tensor.flip" (Tensor.flip [ 0 ] >> Tensor.square >> Tensor.cumsum 0) [ 3; 2 ]
      of1 "Tensor.repeat" (Tensor.repeat [ 2; 3 ] >> Tensor.square) [ 2; 2 ]
      of1 "Tensor.repeatInterleave" (Tensor.repeatInterleave 3 0 >> Tensor.square) [ 2; 2 ]
      of1 "Tensor.tril" (Tensor.tril >> Tensor.square) [ 3; 3 ]
      of1 "Tensor.diagonal" (Tensor.diagonal >> Tensor.square) [ 2; 3; 3 ]
      of1 "Tensor.diagEmbed" (Tensor.diagEmbed >> Tensor.square) [ 2; 3 ]
      of1 "Tensor.contiguous" (Tensor.transpose 0 1 >> Tensor.contiguous >> Tensor.square) [ 2; 3 ]
      of1 "Tensor.clone" (Tensor.clone >> Tensor.square) [ 2; 3 ]
      on "Tensor.perSample" (fun xs -> Tensor.perSample xs[0] xs[1] * xs[0]) (normals [ [ 3; 2; 2 ]; [ 3 ] ]) ]

let private networks =
    [ on "Nn.linear" (fun xs -> Nn.linear xs[0] xs[1] xs[2]) (normals [ [ 3; 2 ]; [ 4; 2 ]; [ 4 ] ])
      on
          "Nn.conv2d, stride 1"
          (fun xs -> Nn.conv2d 1 1 xs[0] xs[1] xs[2])
          (normals [ [ 2; 2; 4; 4 ]; [ 3; 2; 3; 3 ]; [ 3 ] ])
      on
          "Nn.conv2d, stride 2"
          (fun xs -> Nn.conv2d 2 1 xs[0] xs[1] xs[2])
          (normals [ [ 2; 2; 4; 4 ]; [ 3; 2; 3; 3 ]; [ 3 ] ])
      on
          "Nn.convBy"
          (fun xs -> Nn.convBy (1, 2) (0, 1) xs[0] xs[1] xs[2])
          (normals [ [ 1; 2; 1; 5 ]; [ 3; 2; 1; 3 ]; [ 3 ] ])
      on "Nn.groupNorm" (fun xs -> Nn.groupNorm 2 1e-5 xs[0] xs[1] xs[2]) (normals [ [ 2; 4; 2; 3 ]; [ 4 ]; [ 4 ] ])
      on "Nn.layerNorm" (fun xs -> Nn.layerNorm 1e-5 xs[0] xs[1] xs[2]) (normals [ [ 2; 3; 4 ]; [ 4 ]; [ 4 ] ])
      of1 "Nn.softmax" (Nn.softmax -1) [ 2; 4 ]
      of1 "Nn.softmax, inner dimension" (Nn.softmax 1) [ 2; 3; 2 ]
      of1 "Nn.logSoftmax" (Nn.logSoftmax 1) [ 2; 4 ]
      of1 "Nn.avgPool2d" (Nn.avgPool2d 2 >> Tensor.square) [ 1; 2; 4; 4 ]
      on "Nn.maxPool2d" (fun xs -> Tensor.square (Nn.maxPool2d 2 xs[0])) (fun rng -> [| distinct [ 1; 2; 4; 4 ] rng |])
      of1 "Nn.upsampleBy" (Nn.upsampleBy 1 2 >> Tensor.square) [ 1; 2; 2; 3 ]
      of1 "Nn.upsampleNearest" (Nn.upsampleNearest 2 >> Tensor.square) [ 1; 2; 2; 3 ]
      of1 "Nn.embedding" (fun w -> Tensor.square (Nn.embedding w labels)) [ 4; 2 ]
      of1 "Nn.crossEntropy" (fun x -> Nn.crossEntropy x labels) [ 3; 4 ]
      of1 "Nn.pad2d" (Nn.pad2d 1 >> Tensor.square) [ 1; 2; 2; 2 ]
      on "Nn.bmm" (fun xs -> Nn.bmm xs[0] xs[1]) (normals [ [ 2; 3; 2 ]; [ 2; 2; 4 ] ])
      on "Nn.attention" (fun xs -> Nn.attention xs[0] xs[1] xs[2]) (normals [ [ 2; 3; 2 ]; [ 2; 4; 2 ]; [ 2; 4; 3 ] ])
      on "Nn.standardize" (fun xs -> Nn.standardize 1e-5 xs[0]) (normals [ [ 3; 5 ] ])
      on "Nn.padEnd" (fun xs -> Nn.padEnd 1 2 xs[0]) (normals [ [ 2; 1; 3; 2 ] ])
      on "Nn.splitHeads" (fun xs -> Nn.splitHeads 2 xs[0]) (normals [ [ 2; 3; 4 ] ])
      on "Nn.joinHeads" (fun xs -> Nn.joinHeads 2 xs[0]) (normals [ [ 4; 3; 2 ] ])
      on "Nn.multiHead" (fun xs -> Nn.multiHead 2 xs[0] xs[1] xs[2]) (normals [ [ 2; 3; 4 ]; [ 2; 4; 4 ]; [ 2; 4; 4 ] ]) ]

let private algebra =
    [ on "Linalg.matmul" (fun xs -> Linalg.matmul xs[0] xs[1]) (normals [ [ 2; 3; 2 ]; [ 2; 4 ] ])
      on "Linalg.einsum" (fun xs -> Linalg.einsum "bij,bj->bi" xs) (normals [ [ 2; 3; 4 ]; [ 2; 4 ] ])
      on "Linalg.cholesky" (fun xs -> Linalg.cholesky (symmetric xs[0])) (fun rng -> [| positiveDefinite 3 rng |])
      on "Linalg.solve" (fun xs -> Linalg.solve xs[0] xs[1]) (fun rng ->
          [| regular 3 rng; Rng.normal kind [ 3; 2 ] (Rng.at 1L rng) |])
      on "Linalg.solveTriangular" (fun xs -> Linalg.solveTriangular false (Tensor.tril xs[0]) xs[1]) (fun rng ->
          [| regular 3 rng; Rng.normal kind [ 3; 2 ] (Rng.at 1L rng) |])
      on "Linalg.inv" (fun xs -> Linalg.inv xs[0]) (fun rng -> [| regular 3 rng |])
      on "Linalg.logAbsDet" (fun xs -> Linalg.logAbsDet xs[0]) (fun rng -> [| regular 3 rng |])
      of1 "Linalg.trace" (Linalg.trace >> Tensor.square) [ 3; 3 ]
      // Eigenvectors have a sign of their own; what does not depend on it has derivatives.
      notReverseOverForward (
          on
              "Linalg.eigh"
              (fun xs ->
                  let values, vectors = Linalg.eigh (symmetric xs[0])
                  Tensor.cat 0 [ values; Tensor.flatten (Tensor.square vectors) ])
              (fun rng -> [| positiveDefinite 3 rng |])
      )
      on
          "Linalg.svd"
          (fun xs ->
              let _, s, _ = Linalg.svd xs[0]
              s)
          (fun rng -> [| regular 3 rng |])
      on
          "Linalg.qr"
          (fun xs ->
              let q, r = Linalg.qr xs[0]
              Linalg.matmul (Tensor.square q) (Tensor.square r))
          (fun rng -> [| regular 3 rng |])
      notReverseOverForward (
          on "Linalg.sqrtPsd" (fun xs -> Linalg.sqrtPsd (symmetric xs[0])) (fun rng -> [| positiveDefinite 3 rng |])
      )
      on "Linalg.distances" (fun xs -> Linalg.distances xs[0] xs[1]) (normals [ [ 3; 2 ]; [ 4; 2 ] ]) ]

let all = elementwise @ reductions @ shapes @ networks @ algebra

/// Functions that have no derivative to check: they create, compare, count, leave for managed memory, or cut derivatives off.
let without =
    [ "zeros"
      "ones"
      "full"
      "zerosLike"
      "onesLike"
      "scalar"
      "range"
      "linspace"
      "eye"
      "ofArray"
      "lend"
      "toArray"
      "toFloats"
      "sign"
      "floor"
      "round"
      "less"
      "lessOrEqual"
      "greater"
      "greaterOrEqual"
      "equal"
      "lessThan"
      "greaterThan"
      "atLeast"
      "equalTo"
      "not"
      "both"
      "either"
      "isFinite"
      "isNan"
      "all"
      "any"
      "argmax"
      "argmin"
      "argsort"
      "same"
      "detach"
      "oneHot" ]
