namespace Fokker.Laws

open FsCheck.FSharp
open Fokker

/// Exact flows: what their layers' triangular Jacobians promise, seen from outside by automatic differentiation and by quadrature.
module ExactFlowLaws =

    let private section = "Exact flows"

    /// A flow with parameters at which no layer is the identity, and samples in reach of its splines and beyond.
    let private drawn (off: float) (dimensions: int list) =
        gen {
            let! kind =
                Draw.oneOf
                    [ Some(ExactFlowKind.Spline(5, 2.0)); Some ExactFlowKind.RealNvp; Some ExactFlowKind.Maf; None ]

            let! d = Draw.oneOf dimensions
            let! classes = Draw.oneOf [ None; Some 2 ]
            let! r = Draw.rng

            // A picture of the same plane has two patches of one pixel, any other six of four.
            let shape = if dimensions = [ 2 ] then [ 1; 2; 1 ] else [ 1; 6; 4 ]

            let network, shape =
                match kind with
                | Some kind ->
                    ExactFlow.network
                        { Kind = kind; Dimension = d; Layers = 3; Width = 8; Depth = 2; Classes = classes },
                    [ d ]
                | None ->
                    TarFlow.network
                        { Shape = shape
                          Patch = (if dimensions = [ 2 ] then 1 else 2)
                          Blocks = 3
                          Width = 8
                          Depth = 2
                          Heads = 2
                          Classes = classes },
                    shape

            let parameters =
                Network.init Kind.Float64 r network
                |> Array.mapi (fun k p -> p + off * Rng.normalLike p (Rng.at (int64 k) (Rng.named "off" r)))

            // All samples of class 1.
            let field: Field =
                fun t x ->
                    let labels = classes |> Option.map (fun _ -> Tensor.full Kind.Int64 [ x.Shape[0] ] 1.0)
                    Tensor.flattenRows (network.Apply parameters labels t (Tensor.reshape (x.Shape[0] :: shape) x))

            let d = List.fold (*) 1 shape
            return struct (field, d, r, $"{network.Name} in {d}, classes {classes.IsSome}")
        }

    /// The other end and log |det|, [B; d] and [B].
    let private ends (field: Field) (time: float) (x: Tensor) : struct (Tensor * Tensor) =
        let d = x.Shape[1]
        let y = field (Measure.at time) x
        struct (Tensor.narrow 1 0 d y, Tensor.sumRows (Tensor.narrow 1 d d y))

    let logDeterminant =
        { Name = "exact-flow-log-determinant"
          Section = section
          Statement =
            "the log |det| that a flow adds up is slogdet of its Jacobian by automatic differentiation, both ways"
          Reference = "Dinh et al. 2017, Real NVP, eq. 6; Durkan et al. 2019, eq. 5; Papamakarios et al. 2017, eq. 5"
          Tolerance = 1e-9
          Cases = 30
          Check =
            Check.guarding ends (fun field time x ->
                // The image's logarithm in the place of the point's own.
                let struct (y, _) = ends field time x
                let struct (_, logDeterminant) = ends field time y
                struct (y, logDeterminant))
            <| fun ends ->
                gen {
                    let! struct (field, d, r, case) = drawn 0.3 [ 1; 2; 3; 5 ]
                    let! time = Draw.oneOf [ 0.0; 1.0 ]
                    let x = 1.5 * Draw.vectors r "x" [ 1; d ]
                    let struct (_, said) = ends field time x

                    let jacobian =
                        Diff.jacobian
                            (fun x ->
                                let struct (y, _) = ends field time x
                                y)
                            x

                    return
                        { Error = Measure.apart (Tensor.reshape [] said) (Linalg.logAbsDet jacobian)
                          Case = $"{case}, end {time}" }
                } }

    let inverse =
        { Name = "exact-flow-inverse"
          Section = section
          Statement = "f⁻¹(f(x)) = x and f(f⁻¹(z)) = z, and the two log |det| cancel"
          Reference = "Dinh et al. 2017, Real NVP, eq. 8; Durkan et al. 2019, appendix A.1"
          // Of layers whose slopes are moderate: a spline may be as flat as 10⁻³, and three of them lose nine digits on the way back.
          Tolerance = 1e-10
          Cases = 60
          Check =
            Check.guarding ends (fun field time x ->
                let struct (y, logDeterminant) = ends field time x
                struct ((if time = 0.0 then 1.0001 * y else y), logDeterminant))
            <| fun ends ->
                gen {
                    let! struct (field, d, r, case) = drawn 0.15 [ 1; 2; 3; 5 ]
                    let! time = Draw.oneOf [ 0.0; 1.0 ]
                    let x = 1.5 * Draw.vectors r "x" [ 20; d ]
                    let struct (y, out) = ends field time x
                    let struct (again, back) = ends field (1.0 - time) y

                    return
                        { Error = max (Measure.apart again x) (Measure.apart (out + back) (Tensor.zerosLike out))
                          Case = $"{case}, from {time}" }
                } }

    let mass =
        { Name = "exact-flow-mass"
          Section = section
          Statement = "∫ N(f(x); 0, I) |det ∂f/∂x| dx = 1 on the plane"
          Reference = "change of variables; Rezende, Mohamed 2015, eq. 5"
          // A spline's density has corners at its knots: the rectangle rule is of second order there.
          Tolerance = 2e-3
          Cases = 6
          Check =
            Check.guarding ends (fun field time x ->
                let struct (y, logDeterminant) = ends field time x
                struct (y, 1.1 * logDeterminant + 0.01))
            <| fun ends ->
                gen {
                    let! struct (field, _, _, case) = drawn 0.15 [ 2 ]
                    // Out of what the flow makes of the middle of its noise: the whole of it, and some more.
                    let probes = Draw.vectors (Rng.ofSeed 3L) "z" [ 4000; 2 ]
                    let z = probes / sqrt (Tensor.sumKeep [ 1 ] (Tensor.square probes)) * 5.5
                    let struct (edge, _) = ends field 1.0 z
                    let low, high = Tensor.minOver [ 0 ] edge, Tensor.maxOver [ 0 ] edge
                    let n = 400
                    let axis k = Tensor.linspace Kind.Float64 (low[k].ToFloat()) (high[k].ToFloat()) n
                    let cell = ((Tensor.prod (high - low)).ToFloat()) / float ((n - 1) * (n - 1))
                    let x = Tensor.stack 1 [ Tensor.repeatInterleave n 0 (axis 0); Tensor.repeat [ n ] (axis 1) ]
                    let struct (z, logDeterminant) = ends field 0.0 x
                    let total = (Tensor.sum (exp (Likelihood.gaussian 1.0 z + logDeterminant))).ToFloat() * cell
                    return { Error = abs (total - 1.0); Case = case }
                } }

    let all = [ logDeterminant; inverse; mass ]
