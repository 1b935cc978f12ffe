namespace Fokker

open System

/// A scalar function of time, closed under arithmetic, with its exact derivative: `exp -Curve.time`, `sqrt (1.0 - a * a)`.
/// Evaluated in float64; on a tensor of times it is differentiable in them.
[<NoComparison; ReferenceEquality>]
type Curve =
    | Constant of float
    | Time
    | Sum of Curve * Curve
    | Product of Curve * Curve
    | Quotient of Curve * Curve
    | Power of Curve * float
    | Exponential of Curve
    | Expm1 of Curve
    | Logarithm of Curve
    | Log1p of Curve
    | Sine of Curve
    | Cosine of Curve
    | Minimum of Curve * Curve
    | Maximum of Curve * Curve
    /// A function that this algebra has no name for, with its derivative.
    | Opaque of name: string * value: (float -> float) * derivative: Curve * argument: Curve

    static member (+)(a: Curve, b: Curve) =
        match a, b with
        | Constant x, Constant y -> Constant(x + y)
        | Constant 0.0, c
        | c, Constant 0.0 -> c
        | _ -> Sum(a, b)

    static member (*)(a: Curve, b: Curve) =
        match a, b with
        | Constant x, Constant y -> Constant(x * y)
        | Constant 0.0, _
        | _, Constant 0.0 -> Constant 0.0
        | Constant 1.0, c
        | c, Constant 1.0 -> c
        | Constant x, Product(Constant y, c)
        | Product(Constant y, c), Constant x -> Product(Constant(x * y), c)
        | c, Constant x -> Product(Constant x, c)
        | _ -> Product(a, b)

    static member (/)(a: Curve, b: Curve) =
        match a, b with
        | Constant x, Constant y -> Constant(x / y)
        | Constant 0.0, _ -> Constant 0.0
        | c, Constant y -> Constant(1.0 / y) * c
        | _ -> Quotient(a, b)

    static member (~-)(a: Curve) = Constant -1.0 * a
    static member (-)(a: Curve, b: Curve) = a + (-b)
    static member (+)(a: Curve, b: float) = a + Constant b
    static member (+)(a: float, b: Curve) = Constant a + b
    static member (-)(a: Curve, b: float) = a + Constant -b
    static member (-)(a: float, b: Curve) = Constant a + (-b)
    static member (*)(a: Curve, b: float) = Constant b * a
    static member (*)(a: float, b: Curve) = Constant a * b
    static member (/)(a: Curve, b: float) = a / Constant b
    static member (/)(a: float, b: Curve) = Constant a / b

    static member Pow(a: Curve, b: float) =
        match a with
        | Constant x -> Constant(x ** b)
        | _ when b = 1.0 -> a
        // (c √x)² = c² x, whose slope is finite where that of √x is not: the square of a bridge's noise.
        | Power(x, 0.5) -> Curve.Pow(x, 0.5 * b)
        | Product(Constant c, x) when c > 0.0 -> Constant(c ** b) * Curve.Pow(x, b)
        | _ -> Power(a, b)

    static member Exp(a: Curve) = Exponential a
    static member Log(a: Curve) = Logarithm a
    static member Sqrt(a: Curve) = Curve.Pow(a, 0.5)
    static member Sin(a: Curve) = Sine a
    static member Cos(a: Curve) = Cosine a

/// The value of a curve where it is wanted: one number for the whole batch, or one for each sample ([B], float64).
[<NoComparison; NoEquality>]
type Coefficient =
    | Number of float
    | PerSample of Tensor

[<RequireQualifiedAccess>]
module Curve =

    /// t ↦ t.
    let time = Time
    let constant (c: float) = Constant c
    /// e^c − 1, accurate where c is small.
    let expm1 (c: Curve) = Expm1 c
    /// log(1 + c), accurate where c is small.
    let log1p (c: Curve) = Log1p c
    let min (a: Curve) (b: Curve) = Minimum(a, b)
    let max (a: Curve) (b: Curve) = Maximum(a, b)

    /// log(1 + x) in float64 without cancellation (Kahan's correction; .NET has no log1p).
    let private log1pFloat (x: float) =
        let u = 1.0 + x
        if u = 1.0 then x
        elif Double.IsInfinity u || u <= 0.0 then Math.Log u
        else Math.Log u * x / (u - 1.0)

    /// e^x − 1 in float64 without cancellation (Kahan).
    let private expm1Float (x: float) =
        let u = Math.Exp x
        if u = 1.0 then x
        elif u - 1.0 = -1.0 then -1.0
        elif Double.IsInfinity u then u
        else (u - 1.0) * x / Math.Log u

    /// The value at time t, in float64.
    let rec eval (curve: Curve) (t: float) : float =
        match curve with
        | Constant c -> c
        | Time -> t
        | Sum(a, b) -> eval a t + eval b t
        | Product(a, b) -> eval a t * eval b t
        | Quotient(a, b) -> eval a t / eval b t
        | Power(a, p) -> if p = 0.5 then Math.Sqrt(eval a t) else Math.Pow(eval a t, p)
        | Exponential a -> Math.Exp(eval a t)
        | Expm1 a -> expm1Float (eval a t)
        | Logarithm a -> Math.Log(eval a t)
        | Log1p a -> log1pFloat (eval a t)
        | Sine a -> Math.Sin(eval a t)
        | Cosine a -> Math.Cos(eval a t)
        | Minimum(a, b) -> Math.Min(eval a t, eval b t)
        | Maximum(a, b) -> Math.Max(eval a t, eval b t)
        | Opaque(_, f, _, a) -> f (eval a t)

    /// The values at a tensor of times (float64), differentiable in them.
    let rec private onTensor (curve: Curve) (t: Tensor) : Tensor =
        match curve with
        | Constant c -> Tensor.full t.Kind t.Shape c
        | Time -> t
        | Sum(Constant c, a)
        | Sum(a, Constant c) -> onTensor a t + c
        | Sum(a, b) -> onTensor a t + onTensor b t
        | Product(Constant c, a) -> c * onTensor a t
        | Product(a, b) -> onTensor a t * onTensor b t
        | Quotient(Constant c, b) -> c / onTensor b t
        | Quotient(a, b) -> onTensor a t / onTensor b t
        | Power(a, p) -> if p = 0.5 then sqrt (onTensor a t) else Tensor.pow (onTensor a t) p
        | Exponential a -> exp (onTensor a t)
        | Expm1 a -> Tensor.expm1 (onTensor a t)
        | Logarithm a -> log (onTensor a t)
        | Log1p a -> Tensor.log1p (onTensor a t)
        | Sine a -> sin (onTensor a t)
        | Cosine a -> cos (onTensor a t)
        | Minimum(a, b) -> Tensor.minimum (onTensor a t) (onTensor b t)
        | Maximum(a, b) -> Tensor.maximum (onTensor a t) (onTensor b t)
        | Opaque(_, f, slope, a) ->
            let u = onTensor a t
            let here = Tensor.detach u
            let map g = Tensor.ofArray here.Shape (Array.map g (Tensor.toFloats here))

            // Exact value; the derivative enters through u − u₀, which is zero.
            if Diff.isTracked u then map f + map (eval slope) * (u - here) else map f

    /// The values at a tensor of times, float64, in its shape.
    let values (curve: Curve) (t: Tensor) : Tensor = onTensor curve t

    /// The curve at `t`, 0-dimensional or [B]: a number for the whole batch where no derivative in t is asked for.
    let at (curve: Curve) (t: Tensor) : Coefficient =
        match curve with
        | Constant c -> Number c
        | _ when t.Rank = 0 && not (Diff.isTracked t) -> Number(eval curve (t.ToFloat()))
        | _ -> PerSample(onTensor curve t)

    /// dc/dt, exactly.
    let rec derivative (curve: Curve) : Curve =
        match curve with
        | Constant _ -> Constant 0.0
        | Time -> Constant 1.0
        | Sum(a, b) -> derivative a + derivative b
        | Product(a, b) -> derivative a * b + a * derivative b
        | Quotient(a, b) -> derivative a / b - curve * (derivative b / b)
        | Power(a, p) -> p * Curve.Pow(a, p - 1.0) * derivative a
        | Exponential a -> curve * derivative a
        | Expm1 a -> exp a * derivative a
        | Logarithm a -> derivative a / a
        | Log1p a -> derivative a / (1.0 + a)
        | Sine a -> cos a * derivative a
        | Cosine a -> -(sin a) * derivative a
        | Minimum(a, b) -> choose "derivative of min" (fun x y -> x <= y) a b
        | Maximum(a, b) -> choose "derivative of max" (fun x y -> x >= y) a b
        | Opaque(name, _, slope, a) -> after a slope * derivative a

    // a' where the first is chosen, b' elsewhere.
    and private choose name first (a: Curve) (b: Curve) =
        let a', b' = derivative a, derivative b

        Opaque(name, (fun t -> if first (eval a t) (eval b t) then eval a' t else eval b' t), Constant 0.0, Time)

    /// t ↦ curve(clock t): the same curve read on another clock.
    and after (clock: Curve) (curve: Curve) : Curve =
        let again = after clock

        match curve with
        | Constant _ -> curve
        | Time -> clock
        | Sum(a, b) -> again a + again b
        | Product(a, b) -> again a * again b
        | Quotient(a, b) -> again a / again b
        | Power(a, p) -> Curve.Pow(again a, p)
        | Exponential a -> Exponential(again a)
        | Expm1 a -> Expm1(again a)
        | Logarithm a -> Logarithm(again a)
        | Log1p a -> Log1p(again a)
        | Sine a -> Sine(again a)
        | Cosine a -> Cosine(again a)
        | Minimum(a, b) -> Minimum(again a, again b)
        | Maximum(a, b) -> Maximum(again a, again b)
        | Opaque(name, f, slope, a) -> Opaque(name, f, slope, again a)

    /// A function with the derivative that comes with it, held against central differences at 63 places between 0 and 1. Raises ArgumentException, with
    /// the place, where a value is not finite or the two disagree by more than differences can be off. A second derivative is a difference of the first.
    let ofFunctions (name: string) (value: float -> float) (derivative: float -> float) : Curve =
        let h = 1e-5

        for k in 1..63 do
            let t = float k / 64.0
            let given = derivative t
            let slope = (value (t + h) - value (t - h)) / (2.0 * h)

            if not (Double.IsFinite slope && Double.IsFinite given) then
                invalidArg
                    name
                    $"{name}({t}) = {value t} with derivative {given}: finite numbers are needed inside (0, 1)"

            // Rounding over h, and h² times a third derivative that is taken to be moderate.
            let scale = Math.Max(1.0, Math.Max(abs slope, abs (value t)))

            if abs (given - slope) > 1e-4 * scale then
                invalidArg
                    name
                    $"the derivative of {name} at {t} is given as {given}; differences of {name} say {slope}"

        let second t = (derivative (t + h) - derivative (t - h)) / (2.0 * h)
        Opaque(name, value, Opaque(name + "'", derivative, Opaque(name + "''", second, Constant nan, Time), Time), Time)

    /// The time in [first, last] at which a monotone curve takes `value`, by bisection to the last bit; the nearer end
    /// where it never does.
    let inverse (first: float, last: float) (curve: Curve) (value: float) : float =
        let rising = eval curve last >= eval curve first

        let rec narrow low high =
            let middle = 0.5 * (low + high)

            if middle <= low || middle >= high then middle
            elif (eval curve middle < value) = rising then narrow middle high
            else narrow low middle

        narrow first last

    // Gauss–Legendre, 8 points.
    let private nodes =
        [| 0.1834346424956498, 0.3626837833783620
           0.5255324099163290, 0.3137066458778873
           0.7966664774136267, 0.2223810344533745
           0.9602898564975363, 0.1012285362903763 |]

    /// ∫_first^last f(t) dt, by so many Gauss–Legendre panels of 8 points.
    let integral (panels: int) (first: float, last: float) (f: float -> float) : float =
        let width = (last - first) / float panels

        Array.init panels (fun k ->
            let middle, half = first + (float k + 0.5) * width, 0.5 * width
            half * Array.sumBy (fun (x, w) -> w * (f (middle - half * x) + f (middle + half * x))) nodes)
        |> Array.sum

/// Polynomials through values.
[<RequireQualifiedAccess>]
module internal Interpolation =

    /// Coefficients of θ⁰, θ¹, … of the polynomial that is 1 at node i and 0 at the others.
    let lagrange (nodes: float list) (i: int) : float list =
        let own = nodes[i]

        nodes
        |> List.indexed
        |> List.filter (fun (j, _) -> j <> i)
        |> List.fold
            (fun p (_, node) ->
                // p · (θ − node)/(own − node)
                let shifted = 0.0 :: p
                let scaled = List.map (fun c -> -node * c) p @ [ 0.0 ]
                List.map2 (fun a b -> (a + b) / (own - node)) shifted scaled)
            [ 1.0 ]

[<RequireQualifiedAccess>]
module Coefficient =

    /// c · x, each sample by its own number.
    let scale (c: Coefficient) (x: Tensor) : Tensor =
        match c with
        | Number 1.0 -> x
        | Number c -> c * x
        | PerSample c -> Tensor.perSample x c * x

    /// Σ cᵢ · xᵢ; a term whose coefficient is the number 0 is left out, even where x is not finite.
    let combine (terms: (Coefficient * Tensor) list) : Tensor =
        let used =
            terms
            |> List.filter (function
                | Number 0.0, _ -> false
                | _ -> true)

        match used, terms with
        | [], (_, x) :: _ -> Tensor.zerosLike x
        | [], [] -> invalidArg (nameof terms) "a combination of nothing"
        | used, _ ->
            let (first, x), rest = List.head used, List.tail used

            rest
            |> List.fold
                (fun sum (c, x) ->
                    match c with
                    | Number c when sum.Dtype = x.Dtype -> Tensor.addScaled c x sum
                    | _ -> sum + scale c x)
                (scale first x)
