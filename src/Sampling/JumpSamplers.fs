namespace Fokker

/// Samplers of a model that jumps.
[<RequireQualifiedAccess>]
module JumpSamplers =

    /// Steps in each of which every coordinate jumps or stays by what the rates are at its beginning, and of tokens so many corrections after each: moves on and back that keep the law
    /// of the time and let coordinates look at each other again.
    let leapingWith (corrections: int) : Sampler =
        if corrections < 0 then
            invalidArg (nameof corrections) $"{corrections} corrections: at least 0"

        { Name = "tau-leaping"
          Equation =
            $"each coordinate jumps with probability 1 − exp(−∫λ dt), by the rates at t; then {corrections} times on by a step's length and back by the process that makes noise"
          Reference =
            "Gillespie 2001; Campbell et al. 2022, A continuous time framework for discrete denoising models, sections 4.3 and 4.4"
          Follows = Leaps corrections
          Order = 1
          IsStochastic = true
          Draws = 3 + 4 * corrections
          IsAdaptive = false
          Evaluations = fun n -> n * (1 + corrections)
          Grid = Grid.uniform }

    let leaping = leapingWith 0

    /// What samples a model that jumps, by name.
    let parts: Part<Sampler> list =
        [ Part.of1
              (Parameter.make
                  "corrections"
                  0.0
                  (Allowed.Whole 0)
                  "moves on and back after each step, an evaluation each; of tokens alone")
              (int >> leapingWith) ]
