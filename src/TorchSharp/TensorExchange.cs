using System.Diagnostics;
using TorchSharp;

namespace Fokker;

/// <summary>Tensors on their way between Fokker and TorchSharp.</summary>
/// <remarks>Where both run on one libtorch, which they do on Fokker's managed engine, nothing is copied: the two tensors share their memory, and derivatives of either
/// library pass through the other. On another engine the numbers are copied.</remarks>
public static class TensorExchange
{
    private static readonly Lazy<bool> one = new(OneLibtorch);

    /// <summary>Whether both are on one libtorch, so that tensors are handed over without a copy.</summary>
    public static bool SharesMemory => one.Value;

    /// <summary>The same tensor for TorchSharp, which is to be disposed of as TorchSharp's own are. Where memory is shared, writing to it in place writes to
    /// Fokker's, which takes its tensors for values.</summary>
    /// <param name="tensor">A tensor of any element type and device.</param>
    /// <exception cref="TensorException">The numbers have to be copied, and a derivative of the tensor is being taken: it would be lost.</exception>
    public static torch.Tensor ToTorchSharp(this Tensor tensor)
    {
        ArgumentNullException.ThrowIfNull(tensor);

        return SharesMemory ? torch.Tensor.UnsafeCreateTensor(Handover.give(tensor)) : CopyToTorchSharp(tensor);
    }

    internal static torch.Tensor CopyToTorchSharp(Tensor tensor)
    {
        if (Handover.isTracked(tensor))
        {
            throw new TensorException(
                $"{tensor.Describe()}: a derivative does not pass from one libtorch to another: take the managed engine (FOKKER_ENGINE=managed)"
            );
        }

        var shape = Array.ConvertAll(tensor.Shape, size => (long)size);
        var copy = torch.empty(shape, (torch.ScalarType)(int)tensor.Dtype);

        if (tensor.Count > 0)
        {
            Exchange.toBytes(tensor).CopyTo(copy.bytes);
        }

        return copy;
    }

    /// <summary>The same tensor for Fokker: freed at the end of its scope, or by the collector outside of all scopes. Where memory is shared, what TorchSharp writes to its
    /// own in place is seen here.</summary>
    /// <param name="tensor">A dense tensor.</param>
    /// <exception cref="TensorException">The numbers have to be copied, and the tensor is on TorchSharp's graph: its derivative would be lost.</exception>
    public static Tensor ToFokker(this torch.Tensor tensor)
    {
        ArgumentNullException.ThrowIfNull(tensor);

        if (!SharesMemory)
        {
            return CopyToFokker(tensor);
        }

        var given = Handover.take(tensor.Handle);
        GC.KeepAlive(tensor);
        return given;
    }

    internal static Tensor CopyToFokker(torch.Tensor tensor)
    {
        if (tensor.requires_grad)
        {
            throw new TensorException(
                "ToFokker: a derivative does not pass from one libtorch to another: detach the tensor, or take the managed engine (FOKKER_ENGINE=managed)"
            );
        }

        using var local = tensor.cpu();
        using var plain = local.contiguous();
        var shape = Array.ConvertAll(plain.shape, size => checked((int)size));
        return Exchange.ofBytes((Dtype)(int)plain.dtype, shape, plain.bytes);
    }

    // Both libraries are loaded now; one libtorch is one file of that name in the process.
    private static bool OneLibtorch()
    {
        if (!Handover.isPossible())
        {
            return false;
        }

        torch.InitializeDeviceType(DeviceType.CPU);
        using var self = Process.GetCurrentProcess();
        var name = OperatingSystem.IsWindows() ? "torch_cpu" : "libtorch_cpu";
        return self.Modules.Cast<ProcessModule>()
                .Where(module => module.ModuleName.StartsWith(name, StringComparison.OrdinalIgnoreCase))
                .Select(module => module.FileName)
                .Distinct()
                .Count() == 1;
    }
}
