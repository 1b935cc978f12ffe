namespace Fokker.Laws

/// Every law, in the order of the table.
module Table =

    let all: Law list =
        PathLaws.all
        @ ConversionLaws.all
        @ MarginalLaws.all
        @ InterpolantLaws.all
        @ LossLaws.all
        @ VariationalLaws.all
        @ PartsLaws.all
        @ ConsistencyLaws.all
        @ FlowMapLaws.all
        @ DistillationLaws.all
        @ EnergyLaws.all
        @ ExactFlowLaws.all
        @ LatentLaws.all
        @ JumpLaws.all
        @ AdversaryLaws.all
        @ ProcessLaws.all
        @ SamplingLaws.all
        @ GuidanceLaws.all
        @ SteeringLaws.all
        @ TransportLaws.all
