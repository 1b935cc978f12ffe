namespace Fokker;

/// <summary>How samples are made: a numerical method for the flow or the reverse process.</summary>
/// <remarks>The solvers that the library knows, one property each; <see cref="Solver.FromName"/> finds one by the name that the command line has for it.</remarks>
public static class Solvers
{
    /// <summary><c>euler</c>: 1 stages on dx/dt = v; order 1, one evaluation a step, on dx/dt = v (Euler 1768).</summary>
    public static Solver Euler { get; } = Solver.FromName("euler");

    /// <summary><c>midpoint</c>: 2 stages on dx/dt = v; order 2, 2 evaluations a step, on dx/dt = v (Runge 1895).</summary>
    public static Solver Midpoint { get; } = Solver.FromName("midpoint");

    /// <summary><c>heun</c>: 2 stages on dx/dt = v; order 2, 2 evaluations a step, on dx/dt = v (Heun 1900; Karras et al. 2022, EDM, algorithm 1).</summary>
    public static Solver Heun { get; } = Solver.FromName("heun");

    /// <summary><c>ralston</c>: 2 stages on dx/dt = v; order 2, 2 evaluations a step, on dx/dt = v (Ralston 1962).</summary>
    public static Solver Ralston { get; } = Solver.FromName("ralston");

    /// <summary><c>kutta3</c>: 3 stages on dx/dt = v; order 3, 3 evaluations a step, on dx/dt = v (Kutta 1901).</summary>
    public static Solver Kutta3 { get; } = Solver.FromName("kutta3");

    /// <summary><c>ssp3</c>: 3 stages on dx/dt = v; order 3, 3 evaluations a step, on dx/dt = v (Shu, Osher 1988).</summary>
    public static Solver Ssp3 { get; } = Solver.FromName("ssp3");

    /// <summary><c>bogacki-shampine</c>: 4 stages on dx/dt = v; order 3, 3 evaluations a step, on dx/dt = v (Bogacki, Shampine 1989).</summary>
    public static Solver BogackiShampine { get; } = Solver.FromName("bogacki-shampine");

    /// <summary><c>rk4</c>: 4 stages on dx/dt = v; order 4, 4 evaluations a step, on dx/dt = v (Kutta 1901).</summary>
    public static Solver RungeKutta4 { get; } = Solver.FromName("rk4");

    /// <summary><c>three-eighths</c>: 4 stages on dx/dt = v; order 4, 4 evaluations a step, on dx/dt = v (Kutta 1901).</summary>
    public static Solver ThreeEighths { get; } = Solver.FromName("three-eighths");

    /// <summary><c>fehlberg</c>: 6 stages on dx/dt = v; order 4, 6 evaluations a step, on dx/dt = v (Fehlberg 1969).</summary>
    public static Solver Fehlberg { get; } = Solver.FromName("fehlberg");

    /// <summary><c>dormand-prince</c>: 7 stages on dx/dt = v; order 5, 6 evaluations a step, on dx/dt = v (Dormand, Prince 1980).</summary>
    public static Solver DormandPrince { get; } = Solver.FromName("dormand-prince");

    /// <summary><c>tsitouras</c>: 7 stages on dx/dt = v; order 5, 6 evaluations a step, on dx/dt = v (Tsitouras 2011, table 1).</summary>
    public static Solver Tsitouras { get; } = Solver.FromName("tsitouras");

    /// <summary><c>dop853</c>: 13 stages on dx/dt = v; order 8, 12 evaluations a step, on dx/dt = v (Hairer, Nørsett, Wanner 1993, section II.5 (DOP853)).</summary>
    public static Solver Dop853 { get; } = Solver.FromName("dop853");

    /// <summary><c>ddim</c>: x_s = α_s x̂₀ + σ_s ε̂; order 1, one evaluation a step, semi-linear (Song, Meng, Ermon 2021, DDIM, eq. 12; Lu et al. 2022, DPM-Solver-1).</summary>
    public static Solver Ddim { get; } = Solver.FromName("ddim");

    /// <summary><c>dpm-2</c>: ε̂ at s and at the middle in λ; order 2, 2 evaluations a step, semi-linear (Lu et al. 2022, DPM-Solver, algorithm 4).</summary>
    public static Solver DpmSolver2 { get; } = Solver.FromName("dpm-2");

    /// <summary><c>dpm-3</c>: ε̂ at s, ⅓ and ⅔ of the way in λ; order 3, 3 evaluations a step, semi-linear (Lu et al. 2022, DPM-Solver, algorithm 5).</summary>
    public static Solver DpmSolver3 { get; } = Solver.FromName("dpm-3");

    /// <summary><c>dpm-2m</c>: ε̂ now and a step before; order 2, one evaluation a step, semi-linear (Lu et al. 2023, DPM-Solver++, section 4).</summary>
    public static Solver DpmSolver2M { get; } = Solver.FromName("dpm-2m");

    /// <summary><c>dpm-3m</c>: ε̂ now and two steps before; order 2, one evaluation a step, semi-linear (Lu et al. 2023, DPM-Solver++, code).</summary>
    public static Solver DpmSolver3M { get; } = Solver.FromName("dpm-3m");

    /// <summary><c>dpmpp-2s</c>: x̂₀ at s and at the middle in λ; order 2, 2 evaluations a step, semi-linear (Lu et al. 2023, DPM-Solver++, algorithm 1).</summary>
    public static Solver DpmPlusPlus2S { get; } = Solver.FromName("dpmpp-2s");

    /// <summary><c>dpmpp-3s</c>: x̂₀ at s, ⅓ and ⅔ of the way in λ; order 3, 3 evaluations a step, semi-linear (Lu et al. 2023, DPM-Solver++, code).</summary>
    public static Solver DpmPlusPlus3S { get; } = Solver.FromName("dpmpp-3s");

    /// <summary><c>dpmpp-2m</c>: x̂₀ now and a step before; order 2, one evaluation a step, semi-linear (Lu et al. 2023, DPM-Solver++, algorithm 2).</summary>
    public static Solver DpmPlusPlus2M { get; } = Solver.FromName("dpmpp-2m");

    /// <summary><c>dpmpp-3m</c>: x̂₀ now and two steps before; order 2, one evaluation a step, semi-linear (Lu et al. 2023, DPM-Solver++, code).</summary>
    public static Solver DpmPlusPlus3M { get; } = Solver.FromName("dpmpp-3m");

    /// <summary><c>deis-2</c>: the polynomial in t through 2 values of ε̂; order 2, one evaluation a step, semi-linear (Zhang, Chen 2023, DEIS, eq. 14–15 (tAB)).</summary>
    public static Solver Deis2 { get; } = Solver.FromName("deis-2");

    /// <summary><c>deis-3</c>: the polynomial in t through 3 values of ε̂; order 2, one evaluation a step, semi-linear (Zhang, Chen 2023, DEIS, eq. 14–15 (tAB)).</summary>
    public static Solver Deis3 { get; } = Solver.FromName("deis-3");

    /// <summary><c>deis-4</c>: the polynomial in t through 4 values of ε̂; order 2, one evaluation a step, semi-linear (Zhang, Chen 2023, DEIS, eq. 14–15 (tAB)).</summary>
    public static Solver Deis4 { get; } = Solver.FromName("deis-4");

    /// <summary><c>lms-2</c>: the polynomial in σ/α through 2 values of ε̂; order 2, one evaluation a step, semi-linear (Bashforth, Adams 1883; Crowson 2022, k-diffusion; Liu et al. 2022, PNDM, section 3).</summary>
    public static Solver LinearMultistep2 { get; } = Solver.FromName("lms-2");

    /// <summary><c>lms-3</c>: the polynomial in σ/α through 3 values of ε̂; order 2, one evaluation a step, semi-linear (Bashforth, Adams 1883; Crowson 2022, k-diffusion; Liu et al. 2022, PNDM, section 3).</summary>
    public static Solver LinearMultistep3 { get; } = Solver.FromName("lms-3");

    /// <summary><c>lms-4</c>: the polynomial in σ/α through 4 values of ε̂; order 2, one evaluation a step, semi-linear (Bashforth, Adams 1883; Crowson 2022, k-diffusion; Liu et al. 2022, PNDM, section 3).</summary>
    public static Solver LinearMultistep4 { get; } = Solver.FromName("lms-4");

    /// <summary><c>exp-ab2</c>: the polynomial in λ through 2 values of x̂₀; order 2, one evaluation a step, semi-linear (Certaine 1960; Hochbruck, Ostermann 2010, Exponential integrators, section 2.5).</summary>
    public static Solver ExponentialAdamsBashforth2 { get; } = Solver.FromName("exp-ab2");

    /// <summary><c>exp-ab3</c>: the polynomial in λ through 3 values of x̂₀; order 3, one evaluation a step, semi-linear (Certaine 1960; Hochbruck, Ostermann 2010, Exponential integrators, section 2.5).</summary>
    public static Solver ExponentialAdamsBashforth3 { get; } = Solver.FromName("exp-ab3");

    /// <summary><c>exp-ab2-noise</c>: the polynomial in λ through 2 values of ε̂; order 2, one evaluation a step, semi-linear (Certaine 1960; Hochbruck, Ostermann 2010, Exponential integrators, section 2.5).</summary>
    public static Solver ExponentialAdamsBashforth2Noise { get; } = Solver.FromName("exp-ab2-noise");

    /// <summary><c>exp-ab3-noise</c>: the polynomial in λ through 3 values of ε̂; order 3, one evaluation a step, semi-linear (Certaine 1960; Hochbruck, Ostermann 2010, Exponential integrators, section 2.5).</summary>
    public static Solver ExponentialAdamsBashforth3Noise { get; } = Solver.FromName("exp-ab3-noise");

    /// <summary><c>unipc-1</c>: 1 values of x̂₀ predict, 2 correct, B(h) = e^h − 1; order 2, one evaluation a step, semi-linear (Zhao et al. 2023, UniPC, algorithms 1 and 2).</summary>
    public static Solver UniPc1 { get; } = Solver.FromName("unipc-1");

    /// <summary><c>unipc-2</c>: 2 values of x̂₀ predict, 3 correct, B(h) = e^h − 1; order 3, one evaluation a step, semi-linear (Zhao et al. 2023, UniPC, algorithms 1 and 2).</summary>
    public static Solver UniPc2 { get; } = Solver.FromName("unipc-2");

    /// <summary><c>unipc-3</c>: 3 values of x̂₀ predict, 4 correct, B(h) = e^h − 1; order 3, one evaluation a step, semi-linear (Zhao et al. 2023, UniPC, algorithms 1 and 2).</summary>
    public static Solver UniPc3 { get; } = Solver.FromName("unipc-3");

    /// <summary><c>unipc-1-bh1</c>: 1 values of x̂₀ predict, 2 correct, B(h) = h; order 2, one evaluation a step, semi-linear (Zhao et al. 2023, UniPC, algorithms 1 and 2).</summary>
    public static Solver UniPc1Bh1 { get; } = Solver.FromName("unipc-1-bh1");

    /// <summary><c>unipc-2-bh1</c>: 2 values of x̂₀ predict, 3 correct, B(h) = h; order 3, one evaluation a step, semi-linear (Zhao et al. 2023, UniPC, algorithms 1 and 2).</summary>
    public static Solver UniPc2Bh1 { get; } = Solver.FromName("unipc-2-bh1");

    /// <summary><c>unipc-3-bh1</c>: 3 values of x̂₀ predict, 4 correct, B(h) = h; order 3, one evaluation a step, semi-linear (Zhao et al. 2023, UniPC, algorithms 1 and 2).</summary>
    public static Solver UniPc3Bh1 { get; } = Solver.FromName("unipc-3-bh1");

    /// <summary><c>unipc-1-noise</c>: 1 values of ε̂ predict, 2 correct, B(h) = e^h − 1; order 2, one evaluation a step, semi-linear (Zhao et al. 2023, UniPC, algorithms 1 and 2).</summary>
    public static Solver UniPc1Noise { get; } = Solver.FromName("unipc-1-noise");

    /// <summary><c>unipc-2-noise</c>: 2 values of ε̂ predict, 3 correct, B(h) = e^h − 1; order 3, one evaluation a step, semi-linear (Zhao et al. 2023, UniPC, algorithms 1 and 2).</summary>
    public static Solver UniPc2Noise { get; } = Solver.FromName("unipc-2-noise");

    /// <summary><c>unipc-3-noise</c>: 3 values of ε̂ predict, 4 correct, B(h) = e^h − 1; order 3, one evaluation a step, semi-linear (Zhao et al. 2023, UniPC, algorithms 1 and 2).</summary>
    public static Solver UniPc3Noise { get; } = Solver.FromName("unipc-3-noise");

    /// <summary><c>unipc-1-bh1-noise</c>: 1 values of ε̂ predict, 2 correct, B(h) = h; order 2, one evaluation a step, semi-linear (Zhao et al. 2023, UniPC, algorithms 1 and 2).</summary>
    public static Solver UniPc1Bh1Noise { get; } = Solver.FromName("unipc-1-bh1-noise");

    /// <summary><c>unipc-2-bh1-noise</c>: 2 values of ε̂ predict, 3 correct, B(h) = h; order 3, one evaluation a step, semi-linear (Zhao et al. 2023, UniPC, algorithms 1 and 2).</summary>
    public static Solver UniPc2Bh1Noise { get; } = Solver.FromName("unipc-2-bh1-noise");

    /// <summary><c>unipc-3-bh1-noise</c>: 3 values of ε̂ predict, 4 correct, B(h) = h; order 3, one evaluation a step, semi-linear (Zhao et al. 2023, UniPC, algorithms 1 and 2).</summary>
    public static Solver UniPc3Bh1Noise { get; } = Solver.FromName("unipc-3-bh1-noise");

    /// <summary><c>heun-sigma</c>: Heun for d(x/α)/dς = ε̂, ς = σ/α; order 2, 2 evaluations a step, semi-linear (Karras et al. 2022, EDM, algorithm 1).</summary>
    public static Solver HeunSigma { get; } = Solver.FromName("heun-sigma");

    /// <summary><c>plms</c>: a DDIM step along Adams and Bashforth's mean of up to four values of ε̂; order 2, one evaluation a step, semi-linear (Liu, Ren, Lin, Zhao 2022, PNDM; Crowson 2022, in latent diffusion).</summary>
    public static Solver Plms { get; } = Solver.FromName("plms");

    /// <summary><c>pndm</c>: the same with pseudo Runge–Kutta 4 at first; order 2, one evaluation a step, semi-linear (Liu, Ren, Lin, Zhao 2022, PNDM, algorithm 2).</summary>
    public static Solver Pndm { get; } = Solver.FromName("pndm");

    /// <summary><c>dpmpp-2s-grid</c>: x̂₀ in blocks of 2 grid steps, each from the block's beginning; order 2, one evaluation a step, semi-linear (Lu et al. 2023, DPM-Solver++; von Platen et al. 2022, diffusers).</summary>
    public static Solver DpmPlusPlus2SGrid { get; } = Solver.FromName("dpmpp-2s-grid");

    /// <summary><c>dpmpp-3s-grid</c>: x̂₀ in blocks of 3 grid steps, each from the block's beginning; order 2, one evaluation a step, semi-linear (Lu et al. 2023, DPM-Solver++; von Platen et al. 2022, diffusers).</summary>
    public static Solver DpmPlusPlus3SGrid { get; } = Solver.FromName("dpmpp-3s-grid");

    /// <summary><c>dpm-fast</c>: dpm-3, the last two steps dpm-2 and ddim; order 2, 3 evaluations a step, semi-linear (Lu et al. 2022, DPM-Solver, appendix D.3).</summary>
    public static Solver DpmSolverFast { get; } = Solver.FromName("dpm-fast");

    /// <summary><c>dpm-12</c>: dpm-2 against ddim, lengths chosen by their error; order 2, semi-linear (Lu et al. 2022, DPM-Solver, appendix C).</summary>
    public static Solver DpmSolver12 { get; } = Solver.FromName("dpm-12");

    /// <summary><c>dpm-23</c>: dpm-3 against dpm-2, lengths chosen by their error; order 3, semi-linear (Lu et al. 2022, DPM-Solver, appendix C).</summary>
    public static Solver DpmSolver23 { get; } = Solver.FromName("dpm-23");

    /// <summary><c>euler-maruyama</c>: x + f h + g √h z on the reverse SDE; order 1, one evaluation a step, stochastic (Maruyama 1955; Song et al. 2021, Score-based generative modeling through SDEs, section 3.3).</summary>
    public static Solver EulerMaruyama { get; } = Solver.FromName("euler-maruyama");

    /// <summary><c>stochastic-heun</c>: Heun's average of f and g at both ends of an Euler–Maruyama step; order 2, 2 evaluations a step, stochastic (Rümelin 1982; Kloeden, Platen 1992, section 14.1).</summary>
    public static Solver StochasticHeun { get; } = Solver.FromName("stochastic-heun");

    /// <summary><c>ddim-eta</c>: x_s = α_s x̂₀ + √(σ_s² − η² β̃) ε̂ + η √β̃ z; order 1, one evaluation a step, stochastic (Song, Meng, Ermon 2021, DDIM, eq. 12 and 16).</summary>
    public static Solver DdimEta { get; } = Solver.FromName("ddim-eta");

    /// <summary><c>ancestral</c>: posterior mean at x̂₀, variance β̃; order 1, one evaluation a step, stochastic (Ho, Jain, Abbeel 2020, DDPM, algorithm 2).</summary>
    public static Solver Ancestral { get; } = Solver.FromName("ancestral");

    /// <summary><c>ancestral-large</c>: posterior mean at x̂₀, variance β; order 1, one evaluation a step, stochastic (Ho, Jain, Abbeel 2020, DDPM, section 3.2).</summary>
    public static Solver AncestralLarge { get; } = Solver.FromName("ancestral-large");

    /// <summary><c>ancestral-learned</c>: posterior mean at x̂₀, variance between β̃ and β as learned; order 1, one evaluation a step, stochastic (Nichol, Dhariwal 2021, Improved DDPM, eq. 15).</summary>
    public static Solver AncestralLearned { get; } = Solver.FromName("ancestral-learned");

    /// <summary><c>edm</c>: noise put back up to (1 + γ) ς, then Heun in ς; order 2, 2 evaluations a step, stochastic (Karras et al. 2022, EDM, algorithm 2).</summary>
    public static Solver Edm { get; } = Solver.FromName("edm");

    /// <summary><c>euler-churn</c>: noise put back up to (1 + γ) ς, then Euler in ς; order 1, one evaluation a step, stochastic (Karras et al. 2022, EDM, algorithm 2 without its correction; Crowson 2022, k-diffusion).</summary>
    public static Solver EulerChurn { get; } = Solver.FromName("euler-churn");

    /// <summary><c>dpm-2-ancestral</c>: dpm-2 to below the next level, noise from there; order 2, 2 evaluations a step, stochastic (Lu et al. 2022, DPM-Solver, algorithm 4; Crowson 2022, k-diffusion).</summary>
    public static Solver DpmSolver2Ancestral { get; } = Solver.FromName("dpm-2-ancestral");

    /// <summary><c>dpmpp-2s-ancestral</c>: dpmpp-2s to below the next level, noise from there; order 2, 2 evaluations a step, stochastic (Lu et al. 2023, DPM-Solver++, algorithm 1; Crowson 2022, k-diffusion).</summary>
    public static Solver DpmPlusPlus2SAncestral { get; } = Solver.FromName("dpmpp-2s-ancestral");

    /// <summary><c>dpmpp-sde</c>: x̂₀ at s and, after an ancestral step, at the middle in λ; an ancestral step by both; 2 evaluations a step, stochastic (Lu et al. 2023, DPM-Solver++; Crowson 2022, k-diffusion).</summary>
    public static Solver DpmPlusPlusSde { get; } = Solver.FromName("dpmpp-sde");

    /// <summary><c>sde-dpmpp-1</c>: the reverse SDE's exact solution, x̂₀ from 1 values; order 1, one evaluation a step, stochastic (Lu et al. 2023, DPM-Solver++, section 5).</summary>
    public static Solver SdeDpmPlusPlus1 { get; } = Solver.FromName("sde-dpmpp-1");

    /// <summary><c>sde-dpmpp-2m</c>: the reverse SDE's exact solution, x̂₀ from 2 values; order 2, one evaluation a step, stochastic (Lu et al. 2023, DPM-Solver++, section 5).</summary>
    public static Solver SdeDpmPlusPlus2M { get; } = Solver.FromName("sde-dpmpp-2m");

    /// <summary><c>sde-dpmpp-3m</c>: the reverse SDE's exact solution, x̂₀ from 3 values; order 2, one evaluation a step, stochastic (Lu et al. 2023, DPM-Solver++, section 5; Crowson 2022, k-diffusion).</summary>
    public static Solver SdeDpmPlusPlus3M { get; } = Solver.FromName("sde-dpmpp-3m");

    /// <summary><c>predictor-corrector</c>: a step of euler-maruyama, then x + δ s + √(2δ) z with δ = 2 α² (r ‖z‖/‖s‖)², r = 0.16; order 0, 2 evaluations a step, stochastic (Song et al. 2021, Score-based generative modeling through SDEs, algorithms 4 and 5).</summary>
    public static Solver PredictorCorrector { get; } = Solver.FromName("predictor-corrector");

    /// <summary><c>annealed-langevin</c>: 5 times x + ½ r σ² s + √r σ z at each level, r = 0.2; order 0, 5 evaluations a step, stochastic (Song, Ermon 2019, Generative modeling by estimating gradients of the data distribution, algorithm 1).</summary>
    public static Solver AnnealedLangevin { get; } = Solver.FromName("annealed-langevin");

    /// <summary><c>alternating</c>: steps of dpmpp-2s and sde-dpmpp-1 in turns; order 1, 2 evaluations a step, stochastic (Karras et al. 2022, EDM, section 4, in general form).</summary>
    public static Solver Alternating { get; } = Solver.FromName("alternating");

    /// <summary>All of them.</summary>
    public static IReadOnlyList<Solver> All { get; } =
    [
        Euler,
        Midpoint,
        Heun,
        Ralston,
        Kutta3,
        Ssp3,
        BogackiShampine,
        RungeKutta4,
        ThreeEighths,
        Fehlberg,
        DormandPrince,
        Tsitouras,
        Dop853,
        Ddim,
        DpmSolver2,
        DpmSolver3,
        DpmSolver2M,
        DpmSolver3M,
        DpmPlusPlus2S,
        DpmPlusPlus3S,
        DpmPlusPlus2M,
        DpmPlusPlus3M,
        Deis2,
        Deis3,
        Deis4,
        LinearMultistep2,
        LinearMultistep3,
        LinearMultistep4,
        ExponentialAdamsBashforth2,
        ExponentialAdamsBashforth3,
        ExponentialAdamsBashforth2Noise,
        ExponentialAdamsBashforth3Noise,
        UniPc1,
        UniPc2,
        UniPc3,
        UniPc1Bh1,
        UniPc2Bh1,
        UniPc3Bh1,
        UniPc1Noise,
        UniPc2Noise,
        UniPc3Noise,
        UniPc1Bh1Noise,
        UniPc2Bh1Noise,
        UniPc3Bh1Noise,
        HeunSigma,
        Plms,
        Pndm,
        DpmPlusPlus2SGrid,
        DpmPlusPlus3SGrid,
        DpmSolverFast,
        DpmSolver12,
        DpmSolver23,
        EulerMaruyama,
        StochasticHeun,
        DdimEta,
        Ancestral,
        AncestralLarge,
        AncestralLearned,
        Edm,
        EulerChurn,
        DpmSolver2Ancestral,
        DpmPlusPlus2SAncestral,
        DpmPlusPlusSde,
        SdeDpmPlusPlus1,
        SdeDpmPlusPlus2M,
        SdeDpmPlusPlus3M,
        PredictorCorrector,
        AnnealedLangevin,
        Alternating,
    ];
}
