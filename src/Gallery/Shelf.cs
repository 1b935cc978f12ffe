using Microsoft.Extensions.Options;

namespace Fokker.Gallery;

/// <summary>A request that cannot be granted: one sentence that says why, and the status that it has in HTTP.</summary>
internal sealed class RequestException(int status, string message, Exception? inner = null) : Exception(message, inner)
{
    public int Status { get; } = status;
}

/// <summary>The models of a folder, by the names in its list. A model is loaded when it is asked for, again once its file has changed, and let go of when others
/// need its place; a request keeps the one that it began with.</summary>
internal sealed class Shelf(FokkerRuntime runtime, FlowModelStore store, IOptions<GalleryOptions> options) : IDisposable
{
    private readonly GalleryOptions options = options.Value;
    private readonly Dictionary<string, Book> books = [];
    private long clock;

    /// <summary>The names that there are.</summary>
    public IReadOnlyList<string> Names => store.ListNames();

    /// <summary>What stands for a name in the folder. A name of a request is compared with the list, and becomes part of no path.</summary>
    public RunFiles Files(string name)
    {
        var listed =
            Names.FirstOrDefault(listed => listed == name)
            ?? throw new RequestException(404, "There is no model of that name.");
        return new RunFiles(options.Folder, listed);
    }

    /// <summary>The model of a name, for as long as what is given back is not disposed of.</summary>
    public async Task<Lent> LendAsync(string name, CancellationToken cancellation)
    {
        var files = Files(name);
        var edition = Edition(files);
        Book book;

        lock (books)
        {
            if (!books.TryGetValue(name, out book!) || book.Edition != edition)
            {
                book?.Retire();
                MakeRoom(edition.Length);
                book = new Book(edition, FlowModel.LoadAsync(files.Path, runtime: runtime, cancellationToken: default));
                books[name] = book;
            }

            book.Take(++clock);
        }

        var lent = new Lent(book);

        try
        {
            // Whoever leaves does not take the loading from those who wait for it as well.
            lent.Model = await book.Loading.WaitAsync(cancellation).ConfigureAwait(false);
            return lent;
        }
        catch (Exception error)
        {
            lent.Dispose();

            if (!book.Loading.IsFaulted)
            {
                throw;
            }

            lock (books)
            {
                // The next request tries again: the file may have been in the middle of a copy.
                if (books.TryGetValue(name, out var kept) && kept == book)
                {
                    books.Remove(name);
                    book.Retire();
                }
            }

            throw new RequestException(
                503,
                $"The model '{name}' cannot be loaded at present: {error.Message.TrimEnd('.')}.",
                error
            );
        }
    }

    private (DateTime Written, long Length) Edition(RunFiles files)
    {
        var file = new FileInfo(files.Model);

        if (!file.Exists)
        {
            throw new RequestException(409, $"The run '{files.Name}' has no model yet: its training has kept none.");
        }

        if (file.Length > options.LargestModel)
        {
            throw new RequestException(
                422,
                $"The model '{files.Name}' has {file.Length} bytes, and the gallery loads none of more than {options.LargestModel}."
            );
        }

        return (file.LastWriteTimeUtc, file.Length);
    }

    // Under the lock.
    private void MakeRoom(long bytes)
    {
        while (
            books.Count >= Math.Max(1, options.Loaded)
            || (books.Count > 0 && books.Values.Sum(book => book.Edition.Length) + bytes > options.LargestModel)
        )
        {
            var oldest = books.MinBy(pair => pair.Value.LastTaken);
            books.Remove(oldest.Key);
            oldest.Value.Retire();
        }
    }

    public void Dispose()
    {
        lock (books)
        {
            foreach (var book in books.Values)
            {
                book.Retire();
            }

            books.Clear();
        }
    }

    /// <summary>A model that is loaded or being so, with how many use it. The shelf is one of them.</summary>
    internal sealed class Book((DateTime Written, long Length) edition, Task<FlowModel> loading)
    {
        private int users = 1;
        private int retired;

        public (DateTime Written, long Length) Edition { get; } = edition;
        public Task<FlowModel> Loading { get; } = loading;
        public long LastTaken { get; private set; }

        // Under the shelf's lock, so that it is not retired meanwhile.
        public void Take(long now)
        {
            LastTaken = now;
            Interlocked.Increment(ref users);
        }

        public void GiveBack()
        {
            if (Interlocked.Decrement(ref users) == 0)
            {
                _ = Loading.ContinueWith(
                    loaded => loaded.Result.Dispose(),
                    CancellationToken.None,
                    TaskContinuationOptions.OnlyOnRanToCompletion,
                    TaskScheduler.Default
                );
            }
        }

        public void Retire()
        {
            if (Interlocked.Exchange(ref retired, 1) == 0)
            {
                GiveBack();
            }
        }
    }

    /// <summary>A model in the hands of a request.</summary>
    internal sealed class Lent(Book book) : IDisposable
    {
        private int given;

        public FlowModel Model { get; internal set; } = null!;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref given, 1) == 0)
            {
                book.GiveBack();
            }
        }
    }
}
