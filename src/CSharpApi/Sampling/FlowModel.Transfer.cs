using Fokker.Interop;

namespace Fokker;

// Models that come from elsewhere and go elsewhere.
public sealed partial class FlowModel
{
    /// <summary>A model that was trained elsewhere. Everything that takes a trained model takes it; <see cref="SaveAsync"/> keeps it.</summary>
    /// <param name="source"><c>diffusers:FOLDER</c>, the folder of a UNet2DModel (<c>config.json</c>, <c>diffusion_pytorch_model.safetensors</c> and, where there is one,
    /// <c>scheduler_config.json</c>) or of a pipeline of it; <c>adm:FILE,head=64</c>, the tensors of guided-diffusion’s U-Net as safetensors, with what they do not say; or
    /// <c>edm:FILE</c>, those of EDM’s version of it.</param>
    /// <param name="side">The side of its samples in pixels, where the model does not say it.</param>
    /// <param name="device">Where it is to compute (the CPU).</param>
    /// <param name="precision">What it is to compute in (what its parameters are in).</param>
    /// <param name="runtime">The threads that it runs on (<see cref="FokkerRuntime.Default"/>).</param>
    /// <param name="cancellationToken">Takes the request back.</param>
    /// <exception cref="FokkerException">There is no model, its files are damaged, or something of it has no counterpart here: settings, or names and shapes of tensors.</exception>
    public static Task<FlowModel> ImportAsync(
        string source,
        int? side = null,
        string? device = null,
        Precision? precision = null,
        FokkerRuntime? runtime = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(source);

        if (side is < 1)
            throw new ArgumentOutOfRangeException(nameof(side), side, "A side of at least 1 pixel is needed.");

        var threads = runtime ?? FokkerRuntime.Default;

        return threads.RunAsync(
            () =>
            {
                var core = ModelWork.Import(source, side, device, precision?.ToDtype());
                return new FlowModel(core, () => ModelWork.Free(core), threads);
            },
            cancellationToken
        );
    }

    /// <summary>Writes a trained model for others: <c>diffusers:FOLDER</c>, a pipeline’s folder, or <c>onnx:FILE</c> (<see cref="ExportOnnxAsync"/>).</summary>
    /// <param name="target">Where it is to be, with the format before it.</param>
    /// <param name="cancellationToken">Takes the request back.</param>
    /// <exception cref="FokkerException">The model has no counterpart there, or the place cannot be written.</exception>
    public Task ExportAsync(string target, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(target);
        return Exported(target, null, cancellationToken);
    }

    /// <summary>Writes a trained model as ONNX. Without <paramref name="sampling"/> it is the network: inputs <c>x</c>, <c>t</c> (float64; of a map two) and, where it is told a class,
    /// <c>label</c> (int64), output <c>y</c>, in the network’s units. With it, it is the whole way from noise to samples: input <c>noise</c>, standard normal, output <c>samples</c> in the data’s units; where the network is told a class and
    /// the options say none, the second input <c>label</c> (int64) is each sample’s own.</summary>
    /// <param name="path">The file, <c>moons.onnx</c>.</param>
    /// <param name="sampling">The solver, its steps, the class of the samples and their guidance; a solver without noise of its own.</param>
    /// <param name="cancellationToken">Takes the request back.</param>
    /// <exception cref="FokkerException">Something of it is no fixed sequence of operators, or the file cannot be written.</exception>
    public Task ExportOnnxAsync(
        string path,
        FlowOptions? sampling = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        return Exported("onnx:" + path, sampling, cancellationToken);
    }

    private Task Exported(string target, FlowOptions? sampling, CancellationToken cancellation) =>
        Request(
            "export",
            () =>
            {
                ModelWork.Export(Core, target, sampling?.ToGeneration());
                return true;
            },
            cancellation
        );
}
