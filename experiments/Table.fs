namespace Fokker.Experiments

/// Every study, in the order that one meets them.
module Table =

    let all: Study list =
        [ OtCfm.study
          Guidance.study
          Ddim.study
          Variance.study
          VarianceOnImages.study
          LikelihoodStudy.study
          SamplerStudy.study
          LangevinStudy.study
          SteeringStudy.study
          RestorationStudy.study
          FewSteps.study
          Branching.study
          Bridge.study
          BlindStudy.study
          BiasStudy.study
          FiguresStudy.study ]
