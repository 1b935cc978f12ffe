using Fokker.Interop;
using TorchSharp;
using Module = TorchSharp.torch.nn.Module<TorchSharp.torch.Tensor, TorchSharp.torch.Tensor, TorchSharp.torch.Tensor>;

namespace Fokker;

/// <summary>TorchSharp's modules in a network's place.</summary>
public static class TorchSharpModel
{
    /// <summary>A module as a model, from which samples are drawn and whose densities and distances are measured.</summary>
    /// <param name="module">(x_t [n, …], t [n]) to what the parametrization says, [n, …]; the time runs from 1 at the noise to 0 at the data. It is put into evaluation mode, stays
    /// the caller's, and must outlive the model. Densities take its derivatives, which asks for one libtorch under both (<see cref="TensorExchange.SharesMemory"/>).</param>
    /// <param name="sampleShape">The shape of a sample: [d], or [channels, height, width].</param>
    /// <param name="path">The path that it was trained on (<see cref="FlowPaths.CondOt"/>).</param>
    /// <param name="parametrization">What it says (the velocity).</param>
    /// <param name="precision">What the states are given in: the type of its parameters.</param>
    /// <param name="name">What to call it (the module's name).</param>
    /// <param name="runtime">The threads that it runs on (<see cref="FokkerRuntime.Default"/>).</param>
    public static FlowModel FromModule(
        Module module,
        int[] sampleShape,
        FlowPath? path = null,
        Parametrization? parametrization = null,
        Precision precision = Precision.Single,
        string? name = null,
        FokkerRuntime? runtime = null
    )
    {
        ArgumentNullException.ThrowIfNull(module);
        module.eval();
        return FlowModel.FromBatchField(
            (x, t) => Evaluate(module, x, t),
            sampleShape,
            path,
            parametrization,
            precision,
            name ?? module.GetName(),
            runtime
        );
    }

    private static Tensor Evaluate(Module module, Tensor x, Tensor t)
    {
        // What TorchSharp makes in between goes at the end. Its parameters keep a graph wherever they are used: only where x is on one is that wanted.
        using var scope = torch.NewDisposeScope();
        using var mode = torch.set_grad_enabled(Handover.isOnGraph(x));
        return module.call(x.ToTorchSharp(), t.ToTorchSharp()).ToFokker();
    }
}
