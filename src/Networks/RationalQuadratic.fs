namespace Fokker

open System

/// Monotone rational-quadratic splines with K bins from [−B, B] to itself and the identity outside, where they join it with slope 1
/// (Gregory, Delbourgo 1982; Durkan et al. 2019, Neural spline flows, eq. 4–8 and appendix A).
[<RequireQualifiedAccess>]
module RationalQuadratic =

    /// The least share of a bin in the interval, and the least derivative at a knot: a bin of no width has no inverse.
    [<Literal>]
    let private Least = 1e-3

    /// Numbers that a spline of K bins takes: K widths, K heights and K − 1 derivatives.
    let numbers (bins: int) : int = 3 * bins - 1

    /// K + 1 knots from −B to B, [B; d; K + 1], out of K numbers each: widths in proportion to their exponentials.
    let private knots (bound: float) (raw: Tensor) : Tensor =
        let bins = raw.Shape[2]
        let shares = Least + (1.0 - Least * float bins) * Nn.softmax 2 raw
        let inner = Tensor.cumsum 2 (Tensor.narrow 2 0 (bins - 1) shares) * (2.0 * bound) - bound
        let edge (value: float) = Tensor.full raw.Kind [ raw.Shape[0]; raw.Shape[1]; 1 ] value
        Tensor.cat 2 [ edge -bound; inner; edge bound ]

    /// softplus(x + c) + least with c such that x = 0 says 1: the identity before training.
    let private slopes (raw: Tensor) : Tensor =
        let inner = Tensor.softplus (raw + Math.Log(Math.Exp(1.0 - Least) - 1.0)) + Least
        let edge = Tensor.ones raw.Kind [ raw.Shape[0]; raw.Shape[1]; 1 ]
        Tensor.cat 2 [ edge; inner; edge ]

    /// The splines of numbers [B; d; 3K − 1], as a bijection of each coordinate of [B; d] with the logarithms of its derivatives [B; d].
    let bijection (bins: int) (bound: float) (raw: Tensor) : Bijection =
        let xs = knots bound (Tensor.narrow 2 0 bins raw)
        let ys = knots bound (Tensor.narrow 2 bins bins raw)
        let slopes = slopes (Tensor.narrow 2 (2 * bins) (bins - 1) raw)

        // The bin of each value among the knots, and what is known of it.
        let at (places: Tensor) (value: Tensor) =
            let passed = Tensor.greaterOrEqual (Tensor.unsqueeze 2 value) (Tensor.narrow 2 1 (bins - 1) places)
            let bin = Tensor.sumKeep [ 2 ] (passed.To Dtype.Int64)
            let here (knots: Tensor) = Tensor.squeeze 2 (Tensor.gather 2 bin knots)
            let next (knots: Tensor) = here (Tensor.narrow 2 1 bins knots)
            let x, y = here xs, here ys
            struct (x, y, next xs - x, next ys - y, here slopes, next slopes)

        // log of the derivative at the place ξ of a bin, Durkan et al. 2019, eq. 5.
        let logDerivative (delta: Tensor) (d0: Tensor) (d1: Tensor) (xi: Tensor) (denominator: Tensor) =
            let rest = 1.0 - xi

            2.0 * Tensor.log delta
            + Tensor.log (d1 * Tensor.square xi + 2.0 * delta * xi * rest + d0 * Tensor.square rest)
            - 2.0 * Tensor.log denominator

        // Outside the identity; a value of its own keeps the numbers inside finite there, and so their derivatives.
        let inside (map: Tensor -> struct (Tensor * Tensor)) (value: Tensor) =
            let isInside = Tensor.lessThan bound (Tensor.abs value)
            let struct (image, logDerivative) = map (Tensor.where isInside value (Tensor.zerosLike value))

            struct (Tensor.where isInside image value,
                    Tensor.where isInside logDerivative (Tensor.zerosLike logDerivative))

        { ToNoise =
            inside (fun value ->
                let struct (x, y, width, height, d0, d1) = at xs value
                let delta = height / width
                let xi = (value - x) / width
                let both = xi * (1.0 - xi)
                let denominator = delta + (d0 + d1 - 2.0 * delta) * both

                struct (y + height * (delta * Tensor.square xi + d0 * both) / denominator,
                        logDerivative delta d0 d1 xi denominator))
          ToData =
            inside (fun value ->
                let struct (x, y, width, height, d0, d1) = at ys value
                let delta = height / width
                let above = value - y
                let bend = above * (d0 + d1 - 2.0 * delta)
                let a = height * (delta - d0) + bend
                let b = height * d0 - bend
                let c = -delta * above
                // The root that stays finite where a is 0 (appendix A.1).
                let root = sqrt (Tensor.clamp 0.0 infinity (Tensor.square b - 4.0 * a * c))
                let xi = 2.0 * c / (-b - root)
                let denominator = delta + (d0 + d1 - 2.0 * delta) * xi * (1.0 - xi)
                struct (x + xi * width, -(logDerivative delta d0 d1 xi denominator))) }
