namespace Fokker;

/// <summary>What a network is trained to minimize.</summary>
/// <remarks>The losses that the library knows, one property each; <see cref="TrainingLoss.FromName"/> finds one by the name that the command line has for it.</remarks>
public static class Losses
{
    /// <summary><c>cfm</c>: E ‖y − (α̇ x₀ + σ̇ ε)‖² (Lipman et al. 2023, Flow matching, eq. 9).</summary>
    public static TrainingLoss ConditionalFlowMatching { get; } = TrainingLoss.FromName("cfm");

    /// <summary><c>dsm</c>: E σ² on score · ‖y − (−ε/σ)‖² (Vincent 2011, eq. 9; Song et al. 2021, eq. 7).</summary>
    public static TrainingLoss DenoisingScoreMatching { get; } = TrainingLoss.FromName("dsm");

    /// <summary><c>simple</c>: E ‖y − (ε)‖² (Ho, Jain, Abbeel 2020, DDPM, eq. 14).</summary>
    public static TrainingLoss Simple { get; } = TrainingLoss.FromName("simple");

    /// <summary><c>denoiser</c>: E ‖y − (x₀)‖² (Vincent 2011; Karras et al. 2022, eq. 2).</summary>
    public static TrainingLoss Denoiser { get; } = TrainingLoss.FromName("denoiser");

    /// <summary><c>ncsn</c>: E σ² on score · ‖y − (−ε/σ)‖² (Song, Ermon 2019, eq. 5–6).</summary>
    public static TrainingLoss Ncsn { get; } = TrainingLoss.FromName("ncsn");

    /// <summary><c>edm</c>: E (σ² + s²)/(σ s)² · ‖D − x₀‖², preconditioned (Karras et al. 2022, EDM, table 1).</summary>
    public static TrainingLoss Edm { get; } = TrainingLoss.FromName("edm");

    /// <summary><c>ism</c>: E σ² (‖s‖² + 2 ∇·s) (Hyvärinen 2005, theorem 1; Hutchinson's trace above 8 coordinates).</summary>
    public static TrainingLoss ImplicitScoreMatching { get; } = TrainingLoss.FromName("ism");

    /// <summary><c>ssm</c>: E σ² ((vᵀs)² + 2 vᵀ(∂s)v), v ~ N(0, I) (Song et al. 2019, Sliced score matching, eq. 7).</summary>
    public static TrainingLoss SlicedScoreMatching { get; } = TrainingLoss.FromName("ssm");

    /// <summary><c>vlb</c>: Σ_k KL(q(x_{k−1} | x_k, x₀) ‖ p(x_{k−1} | x_k)) − log p(x₀ | x₁), 1000 steps of variance β (Ho, Jain, Abbeel 2020, DDPM, eq. 5).</summary>
    public static TrainingLoss VariationalBound { get; } = TrainingLoss.FromName("vlb");

    /// <summary><c>vlb-learned</c>: the same with the steps' variance learned (Nichol, Dhariwal 2021, Improved DDPM, eq. 15).</summary>
    public static TrainingLoss VariationalBoundLearned { get; } = TrainingLoss.FromName("vlb-learned");

    /// <summary><c>hybrid</c>: L_simple + 0.001 L_vlb, which alone moves the variance (Nichol, Dhariwal 2021, Improved DDPM, eq. 16).</summary>
    public static TrainingLoss Hybrid { get; } = TrainingLoss.FromName("hybrid");

    /// <summary><c>i-cfm</c>: E‖v − (ȧ x₀ + ḃ x₁)‖² (Tong et al. 2024, section 3.1; Liu, Gong, Liu 2023; Albergo, Vanden-Eijnden 2023).</summary>
    public static TrainingLoss IndependentFlowMatching { get; } = TrainingLoss.FromName("i-cfm");

    /// <summary><c>ot-cfm</c>: E‖v − (ȧ x₀ + ḃ x₁)‖² (Tong et al. 2024, Improving and generalizing flow-based models, section 3.2; Pooladian et al. 2023).</summary>
    public static TrainingLoss OptimalTransportFlowMatching { get; } = TrainingLoss.FromName("ot-cfm");

    /// <summary><c>sb-cfm</c>: E‖v − (x₁ − x₀ + γ̇ z)‖², γ = s √(t (1 − t)) (Tong et al. 2024, section 3.3, proposition 3.5).</summary>
    public static TrainingLoss SchrodingerBridgeFlowMatching { get; } = TrainingLoss.FromName("sb-cfm");

    /// <summary><c>sf2m</c>: E‖v − (x₁ − x₀ + γ̇ z)‖² + E‖ẑ − z‖² (Tong et al. 2024, Simulation-free Schrödinger bridges via score and flow matching, eq. 9).</summary>
    public static TrainingLoss ScoreAndFlowMatching { get; } = TrainingLoss.FromName("sf2m");

    /// <summary><c>cnf</c>: −log p₁(x₁) − ∫∇·v dt, by the instantaneous change of variables (Chen et al. 2018, Neural ODEs; Grathwohl et al. 2019, FFJORD, eq. 4).</summary>
    public static TrainingLoss ContinuousNormalizingFlow { get; } = TrainingLoss.FromName("cnf");

    /// <summary><c>ct</c>: E w d(f(t', x_t'), f⁻(t, x_t)), d = ‖x − y‖²/d (Song et al. 2023, Consistency models, algorithm 3).</summary>
    public static TrainingLoss ConsistencyTraining { get; } = TrainingLoss.FromName("ct");

    /// <summary><c>ict</c>: E w d(f(t', x_t'), f⁻(t, x_t)), d = √(‖x − y‖² + c²) − c, c = 0.00054 √d (Song, Dhariwal 2024, Improved consistency training).</summary>
    public static TrainingLoss ImprovedConsistencyTraining { get; } = TrainingLoss.FromName("ict");

    /// <summary><c>cd</c>: E d(f(t', x_t'), f⁻(t, x̂_t)), x̂_t by a step of Heun on the teacher's flow (Song et al. 2023, Consistency models, algorithm 2).</summary>
    public static TrainingLoss ConsistencyDistillation { get; } = TrainingLoss.FromName("cd");

    /// <summary><c>lmd</c>, a flow map of a teacher’s flow: E d(∂_s X, v(s, X)), X = x_t + (s − t) u (Boffi, Albergo, Vanden-Eijnden 2024, Flow map matching).</summary>
    public static TrainingLoss LagrangianMapDistillation { get; } = TrainingLoss.FromName("lmd");

    /// <summary><c>emd</c>, a flow map of a teacher’s flow: E d(u, v + (s − t) (∂_t u + ∇u v)) (Boffi, Albergo, Vanden-Eijnden 2024, Flow map matching).</summary>
    public static TrainingLoss EulerianMapDistillation { get; } = TrainingLoss.FromName("emd");

    /// <summary><c>lsd</c>, a flow map without a teacher: that of <c>lmd</c>, v its own u_tt (Boffi, Albergo, Vanden-Eijnden 2025, How to build a consistency model).</summary>
    public static TrainingLoss LagrangianSelfDistillation { get; } = TrainingLoss.FromName("lsd");

    /// <summary><c>psd</c>, a flow map without a teacher or derivatives: E d(u, ((m − t) u_tm + (s − m) u_ms)/(s − t)) (Boffi, Albergo, Vanden-Eijnden 2025, How to build a
    /// consistency model; Frans et al. 2025, Shortcut models).</summary>
    public static TrainingLoss ProgressiveSelfDistillation { get; } = TrainingLoss.FromName("psd");

    /// <summary><c>meanflow</c>, a flow map without a teacher: E d(u, v + (s − t) (∂_t u + ∇u v)), v = ẋ_t (Geng et al. 2025, Mean flows).</summary>
    public static TrainingLoss MeanFlow { get; } = TrainingLoss.FromName("meanflow");

    /// <summary><c>esm</c>: E σ² ‖s − ∇log p_t‖², ∇log p_t the teacher's (Vincent 2011, eq. 4).</summary>
    public static TrainingLoss ExplicitScoreMatching { get; } = TrainingLoss.FromName("esm");

    /// <summary><c>fm</c>: E ‖v − u_t(x)‖², u_t the teacher's (Lipman et al. 2023, eq. 5).</summary>
    public static TrainingLoss FlowMatching { get; } = TrainingLoss.FromName("fm");

    /// <summary><c>classifier</c>: E −log p(c | t, x_t): no model of data, but a classifier of noisy samples that guides one
    /// (<see cref="FlowTrainer.TrainClassifierAsync"/>; Dhariwal, Nichol 2021, section 4).</summary>
    public static TrainingLoss Classifier { get; } = TrainingLoss.FromName("classifier");

    /// <summary>All of them.</summary>
    public static IReadOnlyList<TrainingLoss> All { get; } =
    [
        ConditionalFlowMatching,
        DenoisingScoreMatching,
        Simple,
        Denoiser,
        Ncsn,
        Edm,
        ImplicitScoreMatching,
        SlicedScoreMatching,
        VariationalBound,
        VariationalBoundLearned,
        Hybrid,
        IndependentFlowMatching,
        OptimalTransportFlowMatching,
        SchrodingerBridgeFlowMatching,
        ScoreAndFlowMatching,
        ContinuousNormalizingFlow,
        ConsistencyTraining,
        ImprovedConsistencyTraining,
        ConsistencyDistillation,
        LagrangianMapDistillation,
        EulerianMapDistillation,
        LagrangianSelfDistillation,
        ProgressiveSelfDistillation,
        MeanFlow,
        ExplicitScoreMatching,
        FlowMatching,
        Classifier,
    ];
}
